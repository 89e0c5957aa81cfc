/* client_verify.c: `wardmote fn receipt verify`: is this receipt of a call genuine? Needs no node
 * and no network, only the node's public key. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <wardmote/verify.h>

#include "cli/client.h"
#include "cli/client_json.h"
#include "cli/json.h"
#include "cli/text.h"

#define RECEIPT_BYTES_MAX (UINT64_C(1) << 20)
#define KEY_FILE_BYTES_MAX 4096u

enum { OPTION_KEY = 256, OPTION_JSON };

struct verify {
    const char *file, *key;
    bool json;
};

static int take(void *self, int id, const char *value)
{
    struct verify *verify = self;
    switch (id) {
    case OPTION_KEY: verify->key = value; return 0;
    case OPTION_JSON: verify->json = true; return 0;
    default:
        if (verify->file) {
            return cli_error(CLI_USAGE, "fn receipt verify: %s: one receipt at a time", value);
        }
        verify->file = value;
        return 0;
    }
}

/* Given as such, or in a file. */
static int read_key(const char *text, uint8_t key[WM_PROOF_KEY_BYTES])
{
    char held[KEY_FILE_BYTES_MAX + 1];
    struct client_body body;
    if (wm_key_parse(text, key)) {
        return 0;
    }
    if (access(text, F_OK) != 0) {
        return cli_error(CLI_USAGE,
                         "--key %s: not usable: expected 64 hexadecimal digits, as "
                         "`wardmote node key` prints them, or a file with them",
                         text);
    }
    int status = client_body_open(&body, text, KEY_FILE_BYTES_MAX);
    if (status) {
        return status;
    }
    ssize_t len = pread(body.fd, held, KEY_FILE_BYTES_MAX, 0);
    client_body_close(&body);
    held[len > 0 ? len : 0] = 0;
    held[strcspn(held, " \r\n")] = 0;
    return wm_key_parse(held, key)
               ? 0
               : cli_error(CLI_USAGE, "%s: holds no key: expected 64 hexadecimal digits", text);
}

static void hex_of(char out[65], const uint8_t bytes[32])
{
    for (size_t i = 0; i < 32; i++) {
        snprintf(out + 2 * i, 3, "%02x", bytes[i]);
    }
}

static void print_text(const char *name, const char *text)
{
    printf("%-9s ", name);
    cli_text_put(stdout, text, strlen(text), false);
    putchar('\n');
}

static void print_info(const struct wm_receipt_info *info)
{
    char hex[65], when[64] = "";
    time_t seconds = (time_t)info->second;
    struct tm parts;
    print_text("node", info->node);
    print_text("tenant", info->tenant);
    print_text("function", info->function);
    printf("version   %" PRIu32 "\ncall      %016" PRIx64 "\n", info->version, info->call_id);
    print_text("end", info->end);
    printf("returned  %" PRId32 "\n", info->return_code);
    if (gmtime_r(&seconds, &parts)) {
        strftime(when, sizeof when, "%Y-%m-%d %H:%M:%S UTC", &parts);
    }
    printf("second    %s, record %" PRIu64 " of %" PRIu64 "\n", when, info->index + 1,
           info->records);
    hex_of(hex, info->module_sha256);
    printf("module    %s\n", hex);
    hex_of(hex, info->input_sha256);
    printf("input     %s, %" PRIu64 " bytes\n", hex, info->input_bytes);
    if (info->has_output) {
        hex_of(hex, info->output_sha256);
        printf("output    %s, %" PRIu64 " bytes\n", hex, info->output_bytes);
    }
    printf("took      %.3f ms, %.3f ms of a processor, %" PRIu64 " KiB of memory\n",
           (double)info->wall_ns / 1e6, (double)info->cpu_ns / 1e6, info->memory_peak_bytes / 1024);
    printf("state     %" PRIu64 " bytes pulled, %" PRIu64 " pushed\n", info->state_bytes_pulled,
           info->state_bytes_pushed);
    if (info->lost) {
        printf("lost      %" PRIu64 " calls of this second have no record\n", info->lost);
    }
}

static void print_json(const struct wm_receipt_info *info)
{
    char hex[65];
    struct cli_json out = cli_json_begin(stdout);
    cli_json_text(&out, "node", info->node);
    cli_json_text(&out, "tenant", info->tenant);
    cli_json_text(&out, "function", info->function);
    cli_json_number(&out, "version", info->version);
    snprintf(hex, sizeof hex, "%016" PRIx64, info->call_id);
    cli_json_text(&out, "call", hex);
    cli_json_text(&out, "end", info->end);
    cli_json_integer(&out, "return_code", info->return_code);
    cli_json_number(&out, "second", info->second);
    cli_json_number(&out, "index", info->index);
    cli_json_number(&out, "records", info->records);
    cli_json_number(&out, "lost", info->lost);
    cli_json_number(&out, "fuel", info->fuel);
    cli_json_number(&out, "wall_ns", info->wall_ns);
    cli_json_number(&out, "cpu_ns", info->cpu_ns);
    cli_json_number(&out, "memory_peak_bytes", info->memory_peak_bytes);
    cli_json_number(&out, "input_bytes", info->input_bytes);
    cli_json_number(&out, "output_bytes", info->output_bytes);
    cli_json_number(&out, "state_bytes_pulled", info->state_bytes_pulled);
    cli_json_number(&out, "state_bytes_pushed", info->state_bytes_pushed);
    cli_json_number(&out, "net_bytes_in", info->net_bytes_in);
    cli_json_number(&out, "net_bytes_out", info->net_bytes_out);
    hex_of(hex, info->key);
    cli_json_text(&out, "key", hex);
    hex_of(hex, info->module_sha256);
    cli_json_text(&out, "module_sha256", hex);
    hex_of(hex, info->input_sha256);
    cli_json_text(&out, "input_sha256", hex);
    hex_of(hex, info->output_sha256);
    cli_json_text(&out, "output_sha256", info->has_output ? hex : NULL);
    cli_json_end(&out);
}

static int check(const struct verify *verify, const uint8_t key[WM_PROOF_KEY_BYTES])
{
    struct wm_receipt_info info;
    struct wm_diag diag = WM_DIAG_INIT;
    struct client_body body;
    int status = client_body_open(&body, verify->file, RECEIPT_BYTES_MAX);
    if (status) {
        return status;
    }
    char *bytes = malloc(body.len + 1);
    ssize_t len = bytes ? pread(body.fd, bytes, body.len, 0) : -1;
    client_body_close(&body);
    if (len < 0) {
        status = cli_error(CLI_FAILED, "%s: cannot be read: %m", verify->file);
    } else if (wm_receipt_verify(bytes, (size_t)len, key, &info, &diag) != 0) {
        status = cli_error(cli_status_of(diag.code), "%s: not genuine: %s", verify->file,
                           wm_diag_text(&diag));
    } else if (verify->json) {
        print_json(&info);
    } else {
        printf("genuine: this node's key signed it\n");
        print_info(&info);
    }
    free(bytes);
    return status ? status : client_flush();
}

static int run(const struct cli_verb *verb, int argc, char **argv)
{
    struct verify verify = {0};
    uint8_t key[WM_PROOF_KEY_BYTES];
    int status = cli_parse(verb, argc, argv, take, &verify);
    if (status >= 0) {
        return status;
    }
    if (!verify.file || !verify.key) {
        return cli_error(CLI_USAGE, "fn receipt verify: expected a receipt and a key: wardmote fn "
                                    "receipt verify FILE --key HEX|FILE");
    }
    status = read_key(verify.key, key);
    return status ? status : check(&verify, key);
}

static const struct cli_option options[] = {
    {OPTION_KEY, "key", "HEX|FILE", "the node's public key: wardmote node key"},
    {OPTION_JSON, "json", NULL, "one JSON object"},
};

const struct cli_verb client_fn_receipt_verify = {
    .name = "fn receipt verify",
    .arguments = "FILE --key HEX|FILE",
    .summary = "is this receipt of a call genuine? Asks no node",
    .options = options,
    .option_count = WM_COUNT_OF(options),
    .notes = "Exit status: 0 genuine; 1 changed, or signed by another key; 2 no receipt.\n",
    .run = run,
};
