// node report_text.js report.html: the text of the page after its script has run, one line for
// each block; then the titles of its charts. The document is a stand-in with what that script uses.
"use strict";
const fs = require("fs");
const vm = require("vm");

const html = fs.readFileSync(process.argv[2], "utf8");
const scripts = [...html.matchAll(/<script([^>]*)>([\s\S]*?)<\/script/g)].map(([, attributes, text]) => ({ attributes, text }));
const byId = (id) => scripts.find((script) => script.attributes.includes(`id="${id}"`));
const inline = new Set(["b", "i", "wbr", "small", "span", "code"]);

class Element {
  constructor(tag) { Object.assign(this, { tag, attributes: {}, children: [] }); }
  setAttribute(name, value) { this.attributes[name] = String(value); }
  append(...children) { this.children.push(...children); }
  addEventListener() {}
  decode() { return new Promise(() => {}); }
  get text() {
    const text = this.children.map((child) => (child instanceof Element ? child.text : child)).join("");
    return inline.has(this.tag) ? text : `${text}\n`;
  }
}
const charts = [];
class Chart {
  constructor(canvas, config) { charts.push(`chart: ${canvas.attributes["aria-label"]}, ${config.data.datasets.length} series`); }
}
Chart.defaults = { font: {}, plugins: { legend: { labels: {} } } };

const document = {
  body: new Element("body"),
  getElementById: (id) => ({ textContent: byId(id).text }),
  createElement: (tag) => new Element(tag),
  querySelectorAll: () => [],
};
vm.runInNewContext(scripts[scripts.length - 1].text, { document, Chart, getComputedStyle: () => ({ fontFamily: "sans-serif" }), addEventListener() {} });
console.log([document.title, document.body.text.replace(/\n+/g, "\n"), ...charts].join("\n"));
