/* SPDX-License-Identifier: MIT
 * askr-zygote: loads an application module once and forks application processes that share what it
 * loaded. A program of its own, exec'd, so that no memory of a process that has read a TLS key can
 * be in it, and so that libphp never meets the Python interpreter.
 *
 *   askr-zygote --control-fd N --module PATH [--preload LIBRARY] [--set key=value]...
 *               [--log-format text|logfmt|json|journald]
 *   askr-zygote --describe --module PATH [--preload LIBRARY] [--set key=value]...
 *
 * Exit status: 0 after the supervisor's end of file, 1 when the module does not start (the sentence
 * goes to the supervisor; with --describe to stderr), 2 for misuse. */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "app/app_log.h"
#include "app/module_load.h"
#include "app/port_app.h"
#include "app/zygote_run.h"

enum {
    SETTINGS_MAX = 256,       /* php.ini lines of a configuration file; a long one has 30 */
    DESCRIPTION_SIZE = 65536, /* PHP's lists a hundred extensions and directives: about 8 KiB */
};

struct command {
    int control_fd;
    bool describe;
    const char *module, *preload;
    size_t setting_count;
    struct askr_setting settings[SETTINGS_MAX];
};

static int misuse(const char *what)
{
    fprintf(stderr,
            "askr-zygote: %s\n"
            "usage: askr-zygote --control-fd N | --describe  --module PATH [--preload LIBRARY] "
            "[--set key=value]... [--log-format FORMAT]\n",
            what);
    return 2;
}

/* Splits "key=value" in place. */
static bool add_setting(struct command *command, char *text)
{
    char *equals = strchr(text, '=');
    if (equals == NULL || equals == text || command->setting_count == SETTINGS_MAX)
        return false;
    *equals = '\0';
    command->settings[command->setting_count++] = (struct askr_setting){text, equals + 1};
    return true;
}

static bool parse_fd(const char *text, int *fd)
{
    char *end;
    long number = strtol(text, &end, 10);
    *fd = (int)number;
    return *text != '\0' && *end == '\0' && number > STDERR_FILENO && number < 1 << 20 &&
           fcntl(*fd, F_GETFD) >= 0;
}

/* 0, or the exit status for misuse. */
static int parse_command(struct command *command, int argc, char **argv)
{
    static const struct option options[] = {
        {"control-fd", required_argument, NULL, 'c'},
        {"describe", no_argument, NULL, 'd'},
        {"module", required_argument, NULL, 'm'},
        {"preload", required_argument, NULL, 'p'},
        {"set", required_argument, NULL, 's'},
        {"log-format", required_argument, NULL, 'l'},
        {NULL, 0, NULL, 0},
    };
    for (int option; (option = getopt_long(argc, argv, "", options, NULL)) != -1;) {
        if (option == 'c' && !parse_fd(optarg, &command->control_fd))
            return misuse("--control-fd must be an open descriptor above 2");
        else if (option == 'd')
            command->describe = true;
        else if (option == 'm')
            command->module = optarg;
        else if (option == 'p')
            command->preload = optarg;
        else if (option == 's' && !add_setting(command, optarg))
            return misuse("--set takes key=value, at most 256 times");
        else if (option == 'l' && !app_log_set_format(optarg))
            return misuse("--log-format is text, logfmt, json or journald");
        else if (option == '?')
            return misuse("it does not know this option");
    }
    if (optind != argc || command->module == NULL)
        return misuse("--module PATH is required, and nothing besides options");
    if (command->describe == (command->control_fd >= 0))
        return misuse("either --control-fd or --describe is required");
    return 0;
}

/* What the supervisor had open is not for applications: only 0 to 2 and the control socket stay.
 * close_range(2): Linux 5.9; an older kernel keeps what was not close-on-exec. */
static void close_inherited(int control_fd)
{
    unsigned first = STDERR_FILENO + 1;
    if (control_fd < 0) {
        syscall(SYS_close_range, first, ~0u, 0);
        return;
    }
    if ((unsigned)control_fd > first)
        syscall(SYS_close_range, first, (unsigned)control_fd - 1, 0);
    syscall(SYS_close_range, (unsigned)control_fd + 1, ~0u, 0);
    fcntl(control_fd, F_SETFD, FD_CLOEXEC);
}

static int start(const struct askr_module *module, const struct command *command, askr_error *error)
{
    char why[sizeof error->text] = "";
    if (module->start(&port_host, command->settings, command->setting_count, why, sizeof why) == 0)
        return 0;
    why[sizeof why - 1] = '\0';
    return askr_fail(error, ENOEXEC, "%s", why[0] != '\0' ? why : "the module gave no reason");
}

static int describe(const struct askr_module *module, askr_error *error)
{
    char *json = malloc(DESCRIPTION_SIZE);
    if (json == NULL || module->describe(json, DESCRIPTION_SIZE) != 0) {
        free(json);
        return askr_fail(error, ENOBUFS, "%s cannot describe itself in %d bytes", module->name,
                         DESCRIPTION_SIZE);
    }
    int printed = puts(json) >= 0 && fflush(stdout) == 0
                      ? 0
                      : askr_fail(error, errno, "cannot print: %s", strerror(errno));
    free(json);
    return printed;
}

int main(int argc, char **argv)
{
    struct command command = {.control_fd = -1};
    int status = parse_command(&command, argc, argv);
    if (status != 0)
        return status;
    close_inherited(command.control_fd);
    zygote_set_signals();

    const struct askr_module *module = NULL;
    askr_error error;
    int result = module_load(&module, command.preload, command.module, &error);
    if (result == 0)
        result = start(module, &command, &error);
    if (result == 0 && command.describe)
        result = describe(module, &error);
    if (result == 0 && !command.describe && (result = zygote_run(command.control_fd, module)) != 0)
        askr_fail(&error, -result, "the zygote cannot run: %s", strerror(-result));
    if (result != 0)
        zygote_report_failure(command.control_fd, error.text);
    return result == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
