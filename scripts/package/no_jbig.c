// libtiff is linked with JBIG-KIT, which is under the GPL and reads two-level images alone, no X-ray
// or CT. The wheel has this in its place: such a file is refused, with the words below.
#include <stddef.h>

enum { refused = 1 };

void jbg_dec_init(void* decoder) {}
void jbg_newlen(unsigned char* data, size_t length) {}
int jbg_dec_in(void* decoder, unsigned char* data, size_t length, size_t* used) { return refused; }
unsigned long jbg_dec_getsize(const void* decoder) { return 0; }
unsigned char* jbg_dec_getimage(const void* decoder, int plane) { return NULL; }
void jbg_dec_free(void* decoder) {}
void jbg_enc_init(void* e, unsigned long w, unsigned long h, int planes, unsigned char** data,
                  void (*put)(unsigned char*, size_t, void*), void* file) {}
void jbg_enc_out(void* encoder) {}
void jbg_enc_free(void* encoder) {}
const char* jbg_strerror(int code) { return "JBIG is not part of this program"; }
