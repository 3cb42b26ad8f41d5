/* SPDX-License-Identifier: MIT
 * The pages of counters: each worker writes its own and reads the others'. Written with plain
 * stores: a reader may see counters of neighbouring moments, never a torn one. */
#include <errno.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "serve/accesslog.h"
#include "serve/trace.h"
#include "serve/worker.h"

/* Whole pages of memory for each: no false sharing, and what is not written takes none. */
enum { STATUS_STRIDE = (sizeof(struct askr_worker_status) + 4095) / 4096 * 4096 };

size_t askr_status_stride(void)
{
    return STATUS_STRIDE;
}

/* What a predecessor has left there goes, by giving its memory back: most of the page is histograms
 * of routes, and those that are not used take no memory. */
static void clear(struct askr_worker_status *status)
{
    if (madvise(status, STATUS_STRIDE, MADV_REMOVE) < 0)
        memset(status, 0, sizeof *status);
}

int status_open(struct worker *worker, askr_error *error)
{
    const struct askr_worker_config *config = worker->config;
    struct stat facts;
    if (fstat(config->status_fd, &facts) < 0)
        return askr_fail(error, errno, "the status memory cannot be used");
    size_t size = (size_t)facts.st_size;
    if (((size_t)config->status_slot + 1) * STATUS_STRIDE > size)
        return askr_fail(error, EINVAL, "the status memory has no page %u", config->status_slot);
    worker->status_map = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, config->status_fd, 0);
    if (worker->status_map == MAP_FAILED)
        return askr_fail(error, errno, "the status memory cannot be mapped");
    worker->status_size = size;
    worker->status = (void *)(worker->status_map + (size_t)config->status_slot * STATUS_STRIDE);
    clear(worker->status);
    worker->status->pid = getpid();
    worker->status->state = ASKR_WORKER_STARTING;
    worker->status->generation = config->generation;
    worker->status->backend = config->backend;
    worker->status->heartbeat_ns = clock_now_ns();
    return 0;
}

void status_close(struct worker *worker)
{
    munmap(worker->status_map, worker->status_size);
}

void status_beat(struct worker *worker, int64_t now_ns)
{
    struct askr_worker_status *status = worker->status;
    worker->heartbeat_ns = now_ns + HEARTBEAT_NS;
    sites_beat(worker, now_ns);
    apps_beat(worker);
    status->inflight = worker->apps.handed_count;
    split_beat(worker);
    accesslog_beat(worker);
    trace_beat(worker);
    __atomic_store_n(&status->heartbeat_ns, now_ns, __ATOMIC_RELEASE);
}

const struct askr_worker_status *status_page(const struct worker *worker, uint32_t index)
{
    uint32_t first = worker->config->status_slot - worker->config->index;
    size_t offset = ((size_t)first + index) * STATUS_STRIDE;
    assert(offset + STATUS_STRIDE <= worker->status_size);
    return (const void *)(worker->status_map + offset);
}
