// A driver for CUDA 12.4 that has no GPU: what a machine whose driver is too old looks like.
extern "C" {
int driver_version(int* version) __asm__("cuDriverGetVersion");

int driver_version(int* version) {
  *version = 12040;
  return 0;
}
}
