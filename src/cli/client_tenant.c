/* client_tenant.c: `wardmote tenant`: who may do what on a node, and how much of it. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/client_http.h"
#include "cli/client_json.h"

#define ALLOW_MAX 64u

enum { OPTION_QUOTA = 256, OPTION_ALLOW, OPTION_CLASS, OPTION_ROLE, OPTION_LIST, OPTION_RM };

/* The names of the node's quota, and the shorter ones that are taken too. */
static const struct quota_key {
    const char *name, *also;
    bool bytes;
} quota_keys[] = {
    {"cpu_weight", "cpu-weight", false},       {"cpu_percent", "cpu-percent", false},
    {"memory_bytes", "memory", true},          {"net_bits_per_s", "net", true},
    {"calls_running", "calls-running", false}, {"calls_queued", "calls-queued", false},
    {"calls_per_s", "calls-per-s", false},     {"state_bytes", "state", true},
    {"modules_bytes", "modules", true},        {"results_bytes", "results", true},
};

struct tenant {
    struct client_words words;
    const char *trust_class, *role, *out, *remove;
    const char *allow[ALLOW_MAX];
    size_t allow_count;
    bool of_node;  /* tokens of the node's administrator, not of a tenant */
    json_t *quota; /* NULL: none given */
    bool list;
};

static int set_quota(struct tenant *tenant, const char *text, size_t len)
{
    char word[64], *value;
    const char *names[WM_COUNT_OF(quota_keys)];
    uint64_t number;
    snprintf(word, sizeof word, "%.*s", (int)(len < sizeof word ? len : sizeof word - 1), text);
    value = strchr(word, '=');
    if (!value) {
        return cli_error(CLI_USAGE, "quota %s: not usable: expected NAME=NUMBER", word);
    }
    *value++ = 0;
    for (size_t i = 0; i < WM_COUNT_OF(quota_keys); i++) {
        const struct quota_key *key = &quota_keys[i];
        names[i] = key->also;
        if (strcmp(word, key->name) != 0 && strcmp(word, key->also) != 0) {
            continue;
        }
        if (!(key->bytes ? cli_bytes(value, &number) : cli_number(value, &number)) ||
            number > INT64_MAX) {
            return cli_error(CLI_USAGE, "quota %s=%s: not usable: expected a number%s", word, value,
                             key->bytes ? ", with k, m or g allowed" : "");
        }
        tenant->quota = tenant->quota ? tenant->quota : json_object();
        return json_object_set_new(tenant->quota, key->name, json_integer((json_int_t)number)) == 0
                   ? 0
                   : cli_error(CLI_FAILED, "quota: out of memory");
    }
    const char *near = cli_nearest(word, names, WM_COUNT_OF(names));
    return near ? cli_error(CLI_USAGE, "quota %s: no such limit: did you mean %s?", word, near)
                : cli_error(CLI_USAGE,
                            "quota %s: no such limit: cpu-weight, cpu-percent, memory, "
                            "net, calls-running, calls-queued, calls-per-s, state, "
                            "modules, results",
                            word);
}

static int set_quotas(struct tenant *tenant, const char *text)
{
    while (*text) {
        size_t len = strcspn(text, ",");
        int status = set_quota(tenant, text, len);
        if (status) {
            return status;
        }
        text += len + (text[len] == ',');
    }
    return 0;
}

static int take(void *self, int id, const char *value)
{
    static const char *const roles[] = {"invoke", "deploy", "admin"};
    struct tenant *tenant = self;
    switch (id) {
    case OPTION_QUOTA: return set_quotas(tenant, value);
    case OPTION_CLASS: tenant->trust_class = value; return client_check_name("trust class", value);
    case OPTION_ALLOW:
        if (!strchr(value, ':') || tenant->allow_count == ALLOW_MAX) {
            return cli_error(CLI_USAGE,
                             "--allow %s: not usable: expected HOST:PORT, at most %u "
                             "times",
                             value, ALLOW_MAX);
        }
        tenant->allow[tenant->allow_count++] = value;
        return 0;
    case OPTION_ROLE:
        tenant->role = value;
        return cli_choice(value, roles, WM_COUNT_OF(roles)) >= 0
                   ? 0
                   : cli_error(CLI_USAGE, "--role %s: not usable: expected invoke, deploy or admin",
                               value);
    case OPTION_LIST: tenant->list = true; return 0;
    case OPTION_RM: tenant->remove = value; return 0;
    case 'o': tenant->out = value; return 0;
    default: return client_words_take(&tenant->words, id, value);
    }
}

/* -1: go on; else the status to leave with. The first word is a tenant's name. */
static int begin(struct tenant *tenant, const struct cli_verb *verb, int argc, char **argv,
                 size_t most)
{
    *tenant = (struct tenant){.words.verb = verb};
    client_init(&tenant->words.client);
    int status = cli_parse(verb, argc, argv, take, tenant);
    if (status < 0) {
        status = client_words_check(&tenant->words, 1, most);
        status = status ? status : client_check_name("tenant", tenant->words.word[0]);
        status = status ? status : client_open(&tenant->words.client);
        if (!status) {
            return -1;
        }
    }
    json_decref(tenant->quota);
    client_close(&tenant->words.client);
    return status;
}

static void end(struct tenant *tenant)
{
    json_decref(tenant->quota);
    client_close(&tenant->words.client);
}

static int put_tenant(struct tenant *tenant, const json_t *document, struct client_answer *answer)
{
    const char *name = tenant->words.word[0];
    char *text = json_dumps(document, JSON_COMPACT);
    if (!text) {
        *answer = (struct client_answer){0};
        return cli_error(CLI_USAGE, "%s: not usable: its texts have to be UTF-8", name);
    }
    struct client_url url = client_url_begin("/v1/tenants");
    client_url_segment(&url, name);
    int status = client_send_json(&tenant->words.client, "PUT", &url, name, text, answer);
    free(text);
    return status;
}

static int run_add(const struct cli_verb *verb, int argc, char **argv)
{
    struct tenant tenant;
    int status = begin(&tenant, verb, argc, argv, 1);
    if (status >= 0) {
        return status;
    }
    json_t *document = json_object();
    if (tenant.quota) {
        json_object_set(document, "quota", tenant.quota);
    }
    if (tenant.trust_class) {
        json_object_set_new(document, "trust_class", json_string(tenant.trust_class));
    }
    if (tenant.allow_count) {
        json_t *allow = json_array();
        for (size_t i = 0; i < tenant.allow_count; i++) {
            json_array_append_new(allow, json_string(tenant.allow[i]));
        }
        json_object_set_new(document, "allow", allow);
    }
    struct client_answer answer;
    status = put_tenant(&tenant, document, &answer);
    if (!status) {
        fprintf(stderr, "%s is there; `wardmote tenant token %s --role deploy` makes it a token\n",
                tenant.words.word[0], tenant.words.word[0]);
    }
    json_decref(document);
    client_answer_free(&answer);
    end(&tenant);
    return status;
}

static int get_tenant(struct tenant *tenant, struct client_answer *answer)
{
    struct client_url url = client_url_begin("/v1/tenants");
    client_url_segment(&url, tenant->words.word[0]);
    return client_send_json(&tenant->words.client, "GET", &url, tenant->words.word[0], NULL,
                            answer);
}

static int show_quota(struct tenant *tenant)
{
    struct client_answer answer;
    int status = get_tenant(tenant, &answer);
    if (!status) {
        status = client_print_page(&tenant->words.client, &answer, tenant->words.word[0]);
    }
    client_answer_free(&answer);
    return status;
}

/* What is not named stays: the tenant is read, changed and written back. */
static int change_quota(struct tenant *tenant)
{
    static const char *const kept[] = {"trust_class", "allow"};
    const char *name = tenant->words.word[0];
    struct client_answer answer;
    int status = get_tenant(tenant, &answer);
    json_t *old = status ? NULL : client_json_of(&tenant->words.client, &answer, name);
    client_answer_free(&answer);
    if (!old) {
        return CLI_FAILED;
    }
    json_t *document = json_object();
    json_t *quota = json_is_object(json_object_get(old, "quota"))
                        ? json_copy(json_object_get(old, "quota"))
                        : json_object();
    json_object_update(quota, tenant->quota);
    json_object_set_new(document, "quota", quota);
    for (size_t i = 0; i < WM_COUNT_OF(kept); i++) {
        if (json_object_get(old, kept[i])) {
            json_object_set(document, kept[i], json_object_get(old, kept[i]));
        }
    }
    status = put_tenant(tenant, document, &answer);
    client_answer_free(&answer);
    json_decref(document);
    json_decref(old);
    return status;
}

static int run_quota(const struct cli_verb *verb, int argc, char **argv)
{
    struct tenant tenant;
    int status = begin(&tenant, verb, argc, argv, CLIENT_WORDS_MAX);
    if (status >= 0) {
        return status;
    }
    status = 0;
    for (size_t i = 1; i < tenant.words.count && !status; i++) {
        status = set_quotas(&tenant, tenant.words.word[i]);
    }
    if (!status) {
        status = tenant.quota ? change_quota(&tenant) : show_quota(&tenant);
    }
    end(&tenant);
    return status;
}

/* --- tokens --- */

static void token_url(struct client_url *url, const struct tenant *tenant)
{
    if (tenant->of_node) {
        *url = client_url_begin("/v1/node/tokens");
        return;
    }
    *url = client_url_begin("/v1/tenants");
    client_url_segment(url, tenant->words.word[0]);
    client_url_raw(url, "/tokens");
}

static const char *owner(const struct tenant *tenant)
{
    return tenant->of_node ? "node" : tenant->words.word[0];
}

static int list_tokens(struct tenant *tenant)
{
    static const struct client_column columns[] = {
        {"TOKEN", "id", CLIENT_TEXT},
        {"ROLE", "role", CLIENT_TEXT},
        {"CREATED", "created_ns|created", CLIENT_TIME},
    };
    struct client_url url;
    struct client_answer answer;
    token_url(&url, tenant);
    int status = client_send_json(&tenant->words.client, "GET", &url, owner(tenant), NULL, &answer);
    if (!status) {
        status = client_print_list(&tenant->words.client, &answer, owner(tenant), "tokens", columns,
                                   WM_COUNT_OF(columns), "no tokens");
    }
    client_answer_free(&answer);
    return status;
}

/* To a file of this user's alone, or to standard output: the one place where a token is shown. */
static int give_token(struct tenant *tenant, const char *token, const json_t *document)
{
    struct client_file file;
    if (!tenant->out) {
        if (tenant->words.client.json) {
            client_json_dump(document, stdout);
        } else {
            puts(token);
        }
        return client_flush();
    }
    int status = client_file_open(&file, tenant->out, 0600);
    if (status) {
        return status;
    }
    if (client_write_all(file.fd, token, strlen(token)) || client_write_all(file.fd, "\n", 1)) {
        client_file_drop(&file);
        return cli_error(CLI_FAILED, "%s: cannot be written", tenant->out);
    }
    return client_file_keep(&file);
}

static int make_token(struct tenant *tenant)
{
    struct client *client = &tenant->words.client;
    const char *name = owner(tenant);
    struct client_url url;
    struct client_answer answer;
    char text[64];
    snprintf(text, sizeof text, "{\"role\": \"%s\"}", tenant->role ? tenant->role : "");
    token_url(&url, tenant);
    int status =
        client_send_json(client, "POST", &url, name, tenant->of_node ? NULL : text, &answer);
    json_t *document = status ? NULL : client_json_of(client, &answer, name);
    const char *token = client_json_text(document, "token");
    size_t len = strlen(token);
    bool good = len > 0;
    for (size_t i = 0; i < len && good; i++) {
        good = token[i] > 0x20 && token[i] < 0x7f;
    }
    if (document) {
        status = good ? give_token(tenant, token, document)
                      : cli_error(CLI_FAILED, "%s: the answer holds no token: is %s a node?", name,
                                  client->place);
    } else {
        status = status ? status : CLI_FAILED;
    }
    json_decref(document);
    if (answer.body) {
        explicit_bzero(answer.body, answer.len);
    }
    client_answer_free(&answer);
    return status;
}

static int do_token(struct tenant *tenant)
{
    if (tenant->list) {
        return list_tokens(tenant);
    }
    if (tenant->remove) {
        struct client_url url;
        token_url(&url, tenant);
        client_url_segment(&url, tenant->remove);
        return client_simple(&tenant->words.client, "DELETE", &url, tenant->remove);
    }
    return make_token(tenant);
}

static int run_token(const struct cli_verb *verb, int argc, char **argv)
{
    struct tenant tenant;
    int status = begin(&tenant, verb, argc, argv, 1);
    if (status >= 0) {
        return status;
    }
    if ((tenant.role != NULL) + (tenant.remove != NULL) + tenant.list != 1) {
        status = cli_error(CLI_USAGE, "tenant token: expected one of --role ROLE (makes one), "
                                      "--list, --rm ID");
    } else {
        status = do_token(&tenant);
    }
    end(&tenant);
    return status;
}

/* `wardmote node token`: the administrator's, for a node that is reached over TCP. */
static int run_node_token(const struct cli_verb *verb, int argc, char **argv)
{
    struct tenant tenant = {.words.verb = verb, .of_node = true};
    client_init(&tenant.words.client);
    int status = cli_parse(verb, argc, argv, take, &tenant);
    if (status >= 0) {
        return status;
    }
    status = client_words_check(&tenant.words, 0, 0);
    if (!status && tenant.remove && tenant.list) {
        status = cli_error(CLI_USAGE, "node token: --list and --rm do not go together");
    }
    status = status ? status : client_open(&tenant.words.client);
    status = status ? status : do_token(&tenant);
    end(&tenant);
    return status;
}

static int run_list(const struct cli_verb *verb, int argc, char **argv)
{
    static const struct client_column columns[] = {
        {"TENANT", "name", CLIENT_TEXT},           {"TRUST CLASS", "trust_class", CLIENT_TEXT},
        {"FUNCTIONS", "functions", CLIENT_NUMBER}, {"ALLOW", "allow", CLIENT_TEXT},
        {"QUOTA", "quota", CLIENT_TEXT},
    };
    struct client_words words;
    int status = client_words(&words, verb, argc, argv, 0, 0);
    if (status >= 0) {
        return status;
    }
    struct client_url url = client_url_begin("/v1/tenants");
    struct client_answer answer;
    status = client_send_json(&words.client, "GET", &url, "tenants", NULL, &answer);
    if (!status) {
        status = client_print_list(&words.client, &answer, "tenants", "tenants", columns,
                                   WM_COUNT_OF(columns),
                                   "no tenants: wardmote tenant add NAME makes one");
    }
    client_answer_free(&answer);
    client_close(&words.client);
    return status;
}

static int run_rm(const struct cli_verb *verb, int argc, char **argv)
{
    struct client_words words;
    int status = client_words(&words, verb, argc, argv, 1, 1);
    if (status >= 0) {
        return status;
    }
    const char *name = words.word[0];
    status = client_check_name("tenant", name);
    if (!status && !client_confirm(
                       words.yes, "remove tenant %s with its functions, state and tokens?", name)) {
        status = CLI_FAILED;
    }
    if (!status) {
        struct client_url url = client_url_begin("/v1/tenants");
        client_url_segment(&url, name);
        status = client_simple(&words.client, "DELETE", &url, name);
    }
    client_close(&words.client);
    return status;
}

static const struct cli_option add_options[] = {
    {OPTION_QUOTA, "quota", "NAME=N,...", "limits; what is not named has its default"},
    {OPTION_ALLOW, "allow", "HOST:PORT", "what its functions may reach, again for each"},
    {OPTION_CLASS, "trust-class", "NAME", "with whom it shares processes; default: nobody"},
};
static const struct cli_option token_options[] = {
    {OPTION_ROLE, "role", "ROLE", "makes a token that may invoke, deploy or admin"},
    {'o', "output", "FILE", "into a file that only you can read"},
    {OPTION_LIST, "list", NULL, "tells which there are"},
    {OPTION_RM, "rm", "ID", "makes one worthless"},
};

static const struct cli_verb tenant_add = {
    .name = "tenant add",
    .arguments = "NAME",
    .summary = "makes a tenant, or changes one",
    .options = add_options,
    .option_count = WM_COUNT_OF(add_options),
    CLIENT_COMMON,
    .notes = "Limits: cpu-weight, cpu-percent, memory, net (bits/s), calls-running,\n"
             "calls-queued, calls-per-s, state, modules, results; k, m, g are powers of 1024.\n",
    .run = run_add,
};
static const struct cli_verb tenant_token = {
    .name = "tenant token",
    .arguments = "NAME",
    .summary = "makes a token, which is shown this once",
    .options = token_options,
    .option_count = WM_COUNT_OF(token_options),
    CLIENT_COMMON,
    .run = run_token,
};
const struct cli_verb client_node_token = {
    .name = "node token",
    .arguments = "",
    .summary = "makes a token of the node's administrator, shown this once",
    .options = token_options + 1, /* it has no roles */
    .option_count = WM_COUNT_OF(token_options) - 1,
    CLIENT_COMMON,
    .run = run_node_token,
};
static const struct cli_verb tenant_quota = {
    .name = "tenant quota",
    .arguments = "NAME [LIMIT=N...]",
    .summary = "shows or changes a tenant's limits",
    CLIENT_COMMON,
    .notes = "Limits as for `wardmote tenant add --quota`. What is not named stays as it is.\n",
    .run = run_quota,
};
static const struct cli_verb tenant_list = {
    .name = "tenant list",
    .arguments = "",
    .summary = "the tenants of a node",
    CLIENT_COMMON,
    .run = run_list,
};
static const struct cli_verb tenant_rm = {
    .name = "tenant rm",
    .arguments = "NAME",
    .summary = "removes a tenant with all that it has",
    .options = client_yes,
    .option_count = 1,
    CLIENT_COMMON,
    .run = run_rm,
};

const struct cli_verb *const client_tenant[] = {&tenant_add,  &tenant_token, &tenant_quota,
                                                &tenant_list, &tenant_rm,    NULL};
