# The evaluate command: its sources and the text of its report, compiled in.
target_sources(x2ctpa_commands PRIVATE evaluate.cpp evaluate_charts.cpp evaluate_compare.cpp
  evaluate_difference.cpp evaluate_features.cpp evaluate_images.cpp evaluate_inputs.cpp
  evaluate_json.cpp evaluate_memory.cpp evaluate_pictures.cpp evaluate_readers.cpp evaluate_report.cpp
  evaluate_report_scores.cpp evaluate_scores.cpp evaluate_tables.cpp evaluate_text.cpp)
target_link_libraries(x2ctpa_commands PUBLIC x2ctpa_core x2ctpa_imaging x2ctpa_data x2ctpa_metrics
  x2ctpa_models x2ctpa_training x2ctpa_inference)

# Chart.js 3 or later as the distribution ships it (Debian, Ubuntu: libjs-chart.js).
find_file(CHART_JS NAMES chart.min.js Chart.min.js PATHS /usr/share/javascript/chart.js
          DOC "Chart.js, minified")
if(NOT CHART_JS)
  message(FATAL_ERROR "Chart.js was not found. Run scripts/setup.sh (it installs libjs-chart.js), "
                      "or give -DCHART_JS=/path/to/chart.min.js.")
endif()
include(x2ctpa_embed)
x2ctpa_embed(x2ctpa_commands kChartJs "${CHART_JS}")
x2ctpa_embed(x2ctpa_commands kReportCss "${CMAKE_CURRENT_SOURCE_DIR}/report.css")
x2ctpa_embed(x2ctpa_commands kReportJs "${CMAKE_CURRENT_SOURCE_DIR}/report.js")
