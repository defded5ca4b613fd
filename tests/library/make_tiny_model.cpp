// make_tiny_model FOLDER XRAY.png: what docs/example needs to run.
#include "support/tiny_model.h"
#include "x2ctpa/imaging/files/picture_files.h"

int main(int, char** argv) {
  x2ctpa::test::write_tiny_model(argv[1]);
  x2ctpa::write_png16(torch::rand({40, 36}), argv[2]);
}
