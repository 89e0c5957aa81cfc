/* worker_main.c: `wardmote-worker`; see worker.h. Started by the node, not by people. */
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/error.h"
#include "faaslet/worker.h"

int main(void)
{
    struct wm_diag diag = WM_DIAG_INIT;
    int type = 0;
    socklen_t len = sizeof type;
    if (getsockopt(0, SOL_SOCKET, SO_TYPE, &type, &len) != 0 || type != SOCK_SEQPACKET) {
        fputs("wardmote-worker: started by `wardmote node`, for each trust class one\n", stderr);
        return 2;
    }
    /* A node that was killed does not close the socket before this process may be in the middle of
     * a long init: end with it. It may be gone already. */
    if (prctl(PR_SET_PDEATHSIG, SIGKILL) != 0 || getppid() == 1) {
        return 1;
    }
    int control = fcntl(0, F_DUPFD_CLOEXEC, 3);
    if (control < 0 || dup2(open("/dev/null", O_RDWR | O_CLOEXEC), 0) != 0) {
        return 1;
    }
    int rc = worker_main(control, &diag);
    if (rc != 0) {
        fprintf(stderr, "wardmote-worker: %s\n", wm_diag_text(&diag));
    }
    /* Not exit(): executors are still running what they run. */
    _exit(rc == 0 ? 0 : 1);
}
