/* arpa/inet.h: wasi-libc's, and the old functions that it leaves out. */
#ifndef WARDMOTE_POSIX_ARPA_INET_H
#define WARDMOTE_POSIX_ARPA_INET_H

#include_next <arpa/inet.h>

#ifdef __cplusplus
extern "C" {
#endif

in_addr_t inet_addr(const char *);
char *inet_ntoa(struct in_addr);

#ifdef __cplusplus
}
#endif

#endif
