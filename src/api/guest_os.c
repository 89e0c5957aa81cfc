/* guest_os.c: everything of this machine that one WASI program is given, opened before it runs.
 *
 * Opened by us, with our rights, from names that the user gave; what the guest gets are the open
 * files. Nothing is opened later on its behalf but beneath those folders. */
#include "api/guest_os.h"

#include <errno.h>
#include <string.h>

#include "base/alloc.h"
#include "libos/file.h"
#include "libos/libos.h"
#include "port/file.h"
#include "port/hostfs.h"
#include "port/machine.h"
#include "wasi/wasi.h"

struct guest_os {
    struct libos os;
    struct wasi *wasi;
    struct libos_file *stdio[3];
    size_t dir_count, listener_count; /* opened so far */
    struct wasi_preopen *dirs;
    struct libos_file **listeners;
};

static int open_stdio(struct guest_os *os, const struct wm_wasi_config *config,
                      struct wm_diag *diag)
{
    static const char *const names[3] = {"standard input", "standard output", "standard error"};
    bool ours = config->stdio[0] == 0 && config->stdio[1] == 0 && config->stdio[2] == 0;
    for (int i = 0; i < 3; i++) {
        int fd = ours ? i : config->stdio[i];
        int error =
            fd < 0 ? -EBADF
                   : port_file_share(&os->os, fd, i == 0 ? LIBOS_READ : LIBOS_WRITE, &os->stdio[i]);
        /* A closed stream stays one: reads end at once, writes vanish. */
        if (error && error != -EBADF) {
            return wm_diag_set(diag, error, "%s: cannot be given to the program: %s", names[i],
                               wm_error_text(error));
        }
    }
    return 0;
}

static int open_dirs(struct guest_os *os, const struct wm_wasi_config *config, struct wm_diag *diag)
{
    os->dirs = wm_alloc_zero(config->dir_count, sizeof *os->dirs);
    if (!os->dirs) {
        return wm_diag_set(diag, -ENOMEM, "folders: out of memory");
    }
    for (size_t i = 0; i < config->dir_count; i++) {
        const struct wm_dir *dir = &config->dirs[i];
        int error = port_hostfs_open(&os->os, dir->host, dir->read_only ? PORT_READ_ONLY : 0,
                                     &os->dirs[i].dir, diag);
        if (error) {
            return wm_diag_default(diag, error, dir->host);
        }
        os->dirs[i].guest_path = dir->guest ? dir->guest : dir->host;
        os->dir_count++;
    }
    return 0;
}

static int open_listeners(struct guest_os *os, const struct wm_wasi_config *config,
                          struct wm_diag *diag)
{
    os->listeners = wm_alloc_zero(config->listen_count, sizeof(struct libos_file *));
    if (!os->listeners) {
        return wm_diag_set(diag, -ENOMEM, "listeners: out of memory");
    }
    for (size_t i = 0; i < config->listen_count; i++) {
        char address[64];
        int error = port_listen(&os->os, config->listen[i], &os->listeners[i], diag);
        if (error) {
            return wm_diag_default(diag, error, config->listen[i]);
        }
        os->listener_count++;
        if (config->listening &&
            port_listen_address(os->listeners[i], address, sizeof address) == 0) {
            config->listening(config->listening_self, config->listen[i], address);
        }
    }
    return 0;
}

int guest_os_new(const struct wm_wasi_config *config, struct guest_os **out, struct wm_diag *diag)
{
    struct guest_os *os = wm_alloc_zero(1, sizeof *os);
    if (!os) {
        return wm_diag_set(diag, -ENOMEM, "library OS: out of memory");
    }
    libos_init(&os->os, port_machine());
    int error = open_stdio(os, config, diag);
    if (!error) {
        error = open_dirs(os, config, diag);
    }
    if (!error) {
        error = open_listeners(os, config, diag);
    }
    if (!error) {
        struct wasi_config wasi = {
            .os = &os->os,
            .args = config->args,
            .arg_count = config->arg_count,
            .env = config->env,
            .env_count = config->env_count,
            .stdio = {os->stdio[0], os->stdio[1], os->stdio[2]},
            .preopens = os->dirs,
            .preopen_count = os->dir_count,
            .listeners = os->listeners,
            .listener_count = os->listener_count,
        };
        error = wasi_new(&wasi, &os->wasi, diag);
        if (error) {
            wm_diag_default(diag, error, "library OS");
        }
    }
    if (error) {
        guest_os_free(os);
        return error;
    }
    *out = os;
    return 0;
}

void guest_os_free(struct guest_os *os)
{
    if (!os) {
        return;
    }
    wasi_free(os->wasi);
    for (size_t i = 0; i < os->dir_count; i++) {
        libos_file_put(os->dirs[i].dir);
    }
    for (size_t i = 0; i < os->listener_count; i++) {
        libos_file_put(os->listeners[i]);
    }
    for (size_t i = 0; i < 3; i++) {
        libos_file_put(os->stdio[i]);
    }
    wm_free(os->dirs);
    wm_free(os->listeners);
    wm_free(os);
}

int guest_os_resolve(struct guest_os *os, struct wm_view module, struct wm_view name,
                     struct wasm_extern *out)
{
    return wasi_resolve(os->wasi, module, name, WASM_EXTERN_FUNC, out);
}

uint32_t guest_os_exit_status(const struct guest_os *os)
{
    return wasi_exit_status(os->wasi);
}
