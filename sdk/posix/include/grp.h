/* grp.h: there is no group database; every look-up finds nobody. */
#ifndef WARDMOTE_POSIX_GRP_H
#define WARDMOTE_POSIX_GRP_H

#include <sys/types.h>

struct group {
    char *gr_name;
    char *gr_passwd;
    gid_t gr_gid;
    char **gr_mem;
};

#ifdef __cplusplus
extern "C" {
#endif

struct group *getgrgid(gid_t);
struct group *getgrnam(const char *);

#ifdef __cplusplus
}
#endif

#endif
