// A driver for CUDA 12.4 that has no GPU: what a machine whose driver is too old looks like.
extern "C" {
int cuDriverGetVersion(int* version) {
  *version = 12040;
  return 0;
}
}
