/* SPDX-License-Identifier: MIT
 * What the files of the PHP module share: its settings, the request in hand, the process state.
 *
 * PHP's callbacks carry no context of ours, so the state of the process is one struct, `php`, as
 * PHP's own is. One process runs one request at a time in one thread: no locks anywhere.
 *
 * Happy path, classic: request_take(), request_bind(), php_request_startup(), the script,
 * php_request_shutdown(), request_complete(). Worker mode: the same around the script, and inside
 * it, per handle_request(): request_take(), cycle_open(), the callback, cycle_close(),
 * request_answered(); and request_complete() when it is called again. A fatal error longjmps to the
 * frame that runs the script; nothing of ours between there and here owns memory. */
#ifndef ASKR_PHP_H
#define ASKR_PHP_H

#include "askr/module.h"
#include "php_compat.h"

enum {
    OUTPUT_GATHER_SIZE = 8192, /* two of PHP's usual 4096-byte output buffers: most pages' chunks */
    BOOT_OUTPUT_SIZE = 256,    /* enough for the sentence that a worker script prints and exits */
    FACTS_SIZE = 16384,        /* describe(): 80 extensions take 1.5 kB */
};

struct php_settings {
    bool worker_mode;
    const char *script;        /* worker mode: absolute path of the worker script */
    const char *document_root; /* worker mode: what the script sees while it boots */
    const char *sapi_name;     /* PHP_SAPI; OPcache refuses to work under a name it does not know */
    const char *php_ini;       /* php.ini, or its directory, instead of the library's; or NULL */
    char *ini;                 /* lines that win over php.ini */
    char *ini_defaults;        /* lines that php.ini wins over */
    uint64_t max_requests;     /* then the process ends and is replaced; 0: no limit */
    uint32_t request_timeout_ms; /* wall clock; 0: none */
    const char *inspect;         /* worker mode: where inspect.c reports to; NULL: nowhere */
};

/* SG(server_context) points here while PHP serves a request, and is NULL in a forked copy. */
struct php_request {
    struct askr_exchange *exchange; /* NULL while a worker script runs outside of a request */
    const struct askr_request *head;
    bool head_sent;
    bool ended;           /* finish_request(): the client has its answer, later output is dropped */
    bool refused;         /* the host took no more output; mostly because the client left */
    bool failed;          /* and for another reason than that */
    bool server_filtered; /* ext/filter knows $_SERVER, see filter_input.c */
    size_t gathered;
    char gather[OUTPUT_GATHER_SIZE];
};

struct php_worker {
    bool running;     /* a worker script is being executed */
    bool booted;      /* it has called handle_request() */
    bool in_callback; /* of a request */
    bool draining;    /* handle_request() answers false from now on */
    size_t output_size;
    char output[BOOT_OUTPUT_SIZE]; /* what it printed while booting */
    char failure[512];             /* why it could not boot */
};

struct php_process {
    const struct askr_host *host;
    struct askr_port *port;
    struct php_settings settings;
    struct php_request request;
    struct php_request idle;       /* a worker script outside of a request */
    struct askr_request idle_head; /* and what it sees as the request */
    struct php_worker worker;
    uint64_t served;
    bool ready_said;
    bool is_copy; /* pcntl_fork() of a script: the exchange belongs to its parent */
    char facts[FACTS_SIZE];
};

extern struct php_process php;

/* settings.c: 0, or -1 and a sentence. */
int settings_read(const struct askr_setting *settings, size_t count, char *error, size_t size);

/* sapi.c: module startup under our SAPI. 0, or -1 and a sentence. */
int sapi_start(char *error, size_t size);

/* facts.c: what a request finds, asked in a child process. 0, or -1 and a sentence. */
int facts_collect(char *error, size_t size);
/* How OPcache is now, as JSON; the process must end after it. 0, or -1: OPcache is off. */
int facts_of_caches(char *json, size_t size);

/* request.c */
enum request_taken { REQUEST_TAKEN, REQUEST_NO_MORE, REQUEST_PORT_BROKEN };
enum request_taken request_take(void);
void request_bind(struct php_request *request);
void request_unbind(void);
void request_answered(void);
void request_complete(enum askr_outcome outcome);

/* output.c */
size_t output_write(const char *data, size_t size);
void output_flush(void *server_context);
int output_send_head(sapi_headers_struct *headers);
int output_drain(struct php_request *request);
bool output_end(struct php_request *request);

/* input.c */
size_t input_read(char *buffer, size_t size);
char *input_cookies(void);
char *input_getenv(const char *name, size_t size);

/* superglobals.c, server_names.c, filter_input.c */
void superglobals_intern(void);
void superglobals_server(zval *array);
bool superglobals_has_key(const char *name, size_t size);
void server_names_intern(void);
zend_string *server_name_new(struct askr_text field_name);
void filter_input_wrap(void);
void filter_input_release(void);
void filter_server_variables(void);

/* classic.c, worker.c: the exit status of the process. */
int classic_serve(void);
int worker_serve(void);

/* cycle.c: one request inside of a running worker script. */
void cycle_open(struct php_request *request);
void cycle_close(void);
void cycle_idle_open(void);
void cycle_idle_close(void);

/* reset*.c, session.c: what the boot of a worker script set up is what stays. */
void reset_baseline(void);
void reset_after_request(void);
void reset_undo_baseline(void);
void reset_handlers_baseline(void);
void reset_handlers_after_request(void);
void reset_handlers_undo_baseline(void);
void reset_ini_baseline(void);
void reset_ini_after_request(void);
void reset_ini_undo_baseline(void);
void session_baseline(void);
void session_close(void);
void session_open(void);
void session_drop_baseline(void);
/* Call a PHP function by its entry; `result` is owned by the caller. False: it failed. */
bool call_function(zend_function *function, uint32_t count, zval *arguments, zval *result);
zend_function *find_function(const char *name);

/* measure.c: what a request costs, when the configuration asks for it. */
void measure_start(void);
void measure_begin(void);
void measure_end(void);

bool session_is_open(void);

/* inspect.c: nothing, unless the setting says so. */
void inspect_boot(void);
void inspect_begin(void);
void inspect_end(void);
void inspect_after(void);

/* deadline.c */
int deadline_start_timer(void);
void deadline_set(void);
void deadline_clear(void);

/* trace.c: 0 or -errno. */
int trace_process(int32_t pid, char *text, size_t size);

/* functions.c, log.c, trailers.c */
extern zend_module_entry askr_php_module;
void functions_replace(void);
void log_lines(enum askr_level level, const char *text);
void log_message(const char *message, int syslog_type);
PHP_FUNCTION(askr_handle_request);
PHP_FUNCTION(askr_trailers);

#endif
