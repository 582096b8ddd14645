/* Records, in order, every change a program makes to files under one folder, and everything it tells the
 * world (standard output and sockets). Loaded with LD_PRELOAD by src/recorder.rs; src/crash.rs rebuilds from
 * the record what a power cut could have left. A call and its record happen under one lock: the order is the
 * real one. FARSIDE_RECORD_FAULT="<kind> <nth> <part of a path>" makes the nth call that the kind can befall
 * go wrong.
 *
 * Record: kind (1 byte), path length, second path length, data length (u32 each), offset (u64), then the
 * three. Little-endian, as the machines that run the tests are. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

static pthread_mutex_t order = PTHREAD_RECURSIVE_MUTEX_INITIALIZER_NP;
static char root[PATH_MAX];
static size_t root_length;
static int trace = -1;

/* The fault asked for, and how many calls that it can befall are still to succeed before it strikes. */
enum fault { NO_FAULT, FULL, BROKEN, SHORT, UNSYNCED, READ_ONLY };
static const char *const fault_words[] = {"", "full", "broken", "short", "unsynced", "readonly"};
static enum fault fault;
static long fault_after;
static int fault_lasts;
static char fault_only[NAME_MAX];

#define REAL(name) ((__typeof__(&name))real(#name))

static void *real(const char *name) {
    void *found = dlsym(RTLD_NEXT, name);
    if (!found) abort();
    return found;
}

static void plan_fault(const char *plan) {
    char word[16];
    if (!plan || sscanf(plan, "%15s %ld %254s", word, &fault_after, fault_only) < 2) return;
    for (int kind = FULL; kind <= READ_ONLY; kind++)
        if (strcmp(word, fault_words[kind]) == 0) fault = kind;
}

__attribute__((constructor)) static void start(void) {
    const char *folder = getenv("FARSIDE_RECORD_ROOT");
    const char *file = getenv("FARSIDE_RECORD_TRACE");
    if (!folder || !file || !realpath(folder, root)) return;
    root_length = strlen(root);
    trace = syscall(SYS_openat, AT_FDCWD, file, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
    plan_fault(getenv("FARSIDE_RECORD_FAULT"));
}

static void put(char kind, const char *path, const char *second, const void *data, size_t length,
                uint64_t offset) {
    if (trace < 0) return;
    int saved = errno;
    uint32_t lengths[3] = {strlen(path), strlen(second), length};
    struct iovec parts[] = {
        {&kind, 1}, {lengths, sizeof lengths}, {&offset, sizeof offset},
        {(void *)path, lengths[0]}, {(void *)second, lengths[1]}, {(void *)data, length},
    };
    if (syscall(SYS_writev, trace, parts, 6) < 0) abort();
    errno = saved;
}

/* The path below the root, or NULL for files that are none of our business. */
static const char *below(const char *path) {
    if (trace < 0 || strncmp(path, root, root_length) != 0) return NULL;
    if (path[root_length] == 0) return "";
    return path[root_length] == '/' ? path + root_length + 1 : NULL;
}

static const char *of_fd(int fd, char *buffer) {
    char link[64];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = syscall(SYS_readlinkat, AT_FDCWD, link, buffer, PATH_MAX - 1);
    if (length < 0) return NULL;
    buffer[length] = 0;
    if (length > 10 && strcmp(buffer + length - 10, " (deleted)") == 0) return NULL;
    return below(buffer);
}

/* The name itself may not exist yet: its folder is resolved, the last part is kept as it is. */
static const char *of_name(int folder, const char *name, char *buffer) {
    char whole[PATH_MAX], parent[PATH_MAX];
    if (name[0] == '/' || folder == AT_FDCWD) {
        snprintf(whole, sizeof whole, "%s", name);
    } else {
        char base[PATH_MAX];
        char link[64];
        snprintf(link, sizeof link, "/proc/self/fd/%d", folder);
        ssize_t length = syscall(SYS_readlinkat, AT_FDCWD, link, base, PATH_MAX - 1);
        if (length < 0) return NULL;
        base[length] = 0;
        if (snprintf(whole, sizeof whole, "%s/%s", base, name) >= PATH_MAX) return NULL;
    }
    size_t end = strlen(whole);
    while (end > 1 && whole[end - 1] == '/') whole[--end] = 0;
    char *slash = strrchr(whole, '/');
    const char *last = slash ? slash + 1 : whole;
    char folder_name[PATH_MAX];
    if (!slash) strcpy(folder_name, ".");
    else if (slash == whole) strcpy(folder_name, "/");
    else snprintf(folder_name, sizeof folder_name, "%.*s", (int)(slash - whole), whole);
    if (!realpath(folder_name, parent)) return NULL;
    if (snprintf(buffer, PATH_MAX, "%s/%s", strcmp(parent, "/") ? parent : "", last) >= PATH_MAX) return NULL;
    return below(buffer);
}

static int is_folder(int fd) {
    struct stat found;
    return fstat(fd, &found) == 0 && S_ISDIR(found.st_mode);
}

static int tells(int fd) {
    struct stat found;
    return fd == 1 || (fstat(fd, &found) == 0 && S_ISSOCK(found.st_mode));
}

/* ---- going wrong ---- */

/* 'w' writes bytes, 'c' makes a name or room, 'n' only moves or removes one, 'f' syncs. */
static int befalls(char kind) {
    switch (fault) {
    case FULL: return kind == 'w' || kind == 'c';
    case SHORT: return kind == 'w' || (fault_lasts && kind == 'c');
    case UNSYNCED: return kind == 'f';
    case BROKEN: return 1;
    case READ_ONLY: return kind != 'f';
    default: return 0;
    }
}

/* Whether this call is to fail, with errno set and the record made. SQLite's shared memory is never synced
 * and no part of what is judged. */
static int fails(char kind, const char *call, const char *path) {
    if (!path || !befalls(kind) || !strstr(path, fault_only)) return 0;
    size_t length = strlen(path);
    if (length > 4 && strcmp(path + length - 4, "-shm") == 0) return 0;
    if (fault_after > 0 && --fault_after > 0) return 0;
    if (fault_after < 0 && !fault_lasts) return 0;
    if (fault_after == 0) put('F', path, call, "", 0, 0);
    fault_after = -1;
    fault_lasts = fault == FULL || fault == SHORT || fault == READ_ONLY;
    errno = fault == READ_ONLY ? EROFS : fault == FULL || fault == SHORT ? ENOSPC : EIO;
    return 1;
}

/* How many bytes of a write are let through: all, none, or half the first time that room runs short. */
static ssize_t allowed(const char *call, int fd, size_t length) {
    char buffer[PATH_MAX];
    int saved = errno, lasted = fault_lasts;
    const char *path = fault == NO_FAULT ? NULL : of_fd(fd, buffer);
    if (!fails('w', call, path)) {
        errno = saved;
        return length;
    }
    return fault == SHORT && !lasted ? (ssize_t)(length / 2) : -1;
}

static int fails_on(char kind, const char *call, int fd) {
    char buffer[PATH_MAX];
    int saved = errno;
    const char *path = fault == NO_FAULT ? NULL : of_fd(fd, buffer);
    if (fails(kind, call, path)) return 1;
    errno = saved;
    return 0;
}

/* ---- opening ---- */

static int opened(int folder, const char *name, int flags, mode_t mode) {
    char buffer[PATH_MAX];
    pthread_mutex_lock(&order);
    int saved = errno;
    const char *path = (flags & (O_CREAT | O_TRUNC)) ? of_name(folder, name, buffer) : NULL;
    int before = path && syscall(SYS_faccessat, folder, name, F_OK) == 0;
    errno = saved;
    if (path && (!before || (flags & O_TRUNC)) && fails('c', "open", path)) {
        pthread_mutex_unlock(&order);
        return -1;
    }
    int fd = syscall(SYS_openat, folder, name, flags, mode);
    if (fd >= 0 && path && !before) put('C', path, "", "", 0, 0);
    else if (fd >= 0 && path && (flags & O_TRUNC)) put('T', path, "", "", 0, 0);
    pthread_mutex_unlock(&order);
    return fd;
}

#define OPEN_BODY(folder) \
    mode_t mode = 0; \
    if (flags & (O_CREAT | O_TMPFILE)) { \
        va_list rest; \
        va_start(rest, flags); \
        mode = va_arg(rest, mode_t); \
        va_end(rest); \
    } \
    return opened(folder, name, flags, mode);

int open(const char *name, int flags, ...) { OPEN_BODY(AT_FDCWD) }
int open64(const char *name, int flags, ...) { OPEN_BODY(AT_FDCWD) }
int openat(int folder, const char *name, int flags, ...) { OPEN_BODY(folder) }
int openat64(int folder, const char *name, int flags, ...) { OPEN_BODY(folder) }

/* ---- writing ---- */

static void wrote(int fd, const void *data, ssize_t length, int64_t offset) {
    char buffer[PATH_MAX];
    if (length <= 0 || trace < 0) return;
    int saved = errno;
    const char *path = of_fd(fd, buffer);
    if (path) put('W', path, "", data, length, offset >= 0 ? offset : lseek(fd, 0, SEEK_CUR) - length);
    else if (tells(fd)) put('O', "", "", data, length, 0);
    errno = saved;
}

ssize_t write(int fd, const void *data, size_t length) {
    pthread_mutex_lock(&order);
    ssize_t done = allowed("write", fd, length);
    if (done >= 0) done = REAL(write)(fd, data, done);
    wrote(fd, data, done, -1);
    pthread_mutex_unlock(&order);
    return done;
}

ssize_t pwrite(int fd, const void *data, size_t length, off_t offset) {
    pthread_mutex_lock(&order);
    ssize_t done = allowed("pwrite", fd, length);
    if (done >= 0) done = REAL(pwrite)(fd, data, done, offset);
    wrote(fd, data, done, offset);
    pthread_mutex_unlock(&order);
    return done;
}

ssize_t pwrite64(int fd, const void *data, size_t length, off_t offset) {
    return pwrite(fd, data, length, offset);
}

/* Vectors are written part by part, so that each is recorded; a short write is allowed by contract. */
static ssize_t each(int fd, const struct iovec *parts, int count, int64_t offset) {
    ssize_t total = 0;
    for (int i = 0; i < count; i++) {
        if (parts[i].iov_len == 0) continue;
        ssize_t done = offset < 0 ? write(fd, parts[i].iov_base, parts[i].iov_len)
                                  : pwrite(fd, parts[i].iov_base, parts[i].iov_len, offset + total);
        if (done < 0) return total ? total : done;
        total += done;
        if ((size_t)done < parts[i].iov_len) break;
    }
    return total;
}

ssize_t writev(int fd, const struct iovec *parts, int count) { return each(fd, parts, count, -1); }
ssize_t pwritev(int fd, const struct iovec *parts, int count, off_t offset) {
    return each(fd, parts, count, offset);
}
ssize_t pwritev64(int fd, const struct iovec *parts, int count, off_t offset) {
    return each(fd, parts, count, offset);
}

ssize_t send(int fd, const void *data, size_t length, int flags) {
    pthread_mutex_lock(&order);
    ssize_t done = REAL(send)(fd, data, length, flags);
    wrote(fd, data, done, 0);
    pthread_mutex_unlock(&order);
    return done;
}

/* Copies inside the kernel would go unseen: programs fall back to read and write. */
ssize_t copy_file_range(int in, off_t *at, int out, off_t *to, size_t length, unsigned flags) {
    (void)in, (void)at, (void)out, (void)to, (void)length, (void)flags;
    errno = ENOSYS;
    return -1;
}

/* ---- sizes ---- */

static int resized(int fd, off_t size, int result) {
    char buffer[PATH_MAX];
    const char *path = result == 0 ? of_fd(fd, buffer) : NULL;
    if (path) put('T', path, "", "", 0, size);
    return result;
}

int ftruncate(int fd, off_t size) {
    pthread_mutex_lock(&order);
    int result = fails_on('c', "truncate", fd) ? -1 : resized(fd, size, REAL(ftruncate)(fd, size));
    pthread_mutex_unlock(&order);
    return result;
}

int ftruncate64(int fd, off_t size) { return ftruncate(fd, size); }

int posix_fallocate(int fd, off_t offset, off_t length) {
    struct stat found;
    pthread_mutex_lock(&order);
    int result = fails_on('c', "allocate", fd) ? errno : REAL(posix_fallocate)(fd, offset, length);
    if (result == 0 && fstat(fd, &found) == 0) resized(fd, found.st_size, 0);
    pthread_mutex_unlock(&order);
    return result;
}

int posix_fallocate64(int fd, off_t offset, off_t length) { return posix_fallocate(fd, offset, length); }

/* ---- syncing ---- */

static int synced(int fd, int result) {
    char buffer[PATH_MAX];
    const char *path = result == 0 ? of_fd(fd, buffer) : NULL;
    if (path) put(is_folder(fd) ? 'D' : 'S', path, "", "", 0, 0);
    return result;
}

int fsync(int fd) {
    pthread_mutex_lock(&order);
    int result = fails_on('f', "fsync", fd) ? -1 : synced(fd, REAL(fsync)(fd));
    pthread_mutex_unlock(&order);
    return result;
}

int fdatasync(int fd) {
    pthread_mutex_lock(&order);
    int result = fails_on('f', "fdatasync", fd) ? -1 : synced(fd, REAL(fdatasync)(fd));
    pthread_mutex_unlock(&order);
    return result;
}

/* ---- names ---- */

static int moved(char kind, int from, const char *old, int to, const char *new, unsigned flags) {
    char first[PATH_MAX], second[PATH_MAX];
    pthread_mutex_lock(&order);
    const char *source = of_name(from, old, first);
    const char *target = of_name(to, new, second);
    int result = fails(kind == 'R' ? 'n' : 'c', kind == 'R' ? "rename" : "link", target) ? -1
                 : kind == 'R' ? syscall(SYS_renameat2, from, old, to, new, flags)
                               : syscall(SYS_linkat, from, old, to, new, flags);
    if (result == 0 && (source || target)) put(kind, source ? source : "", target ? target : "", "", 0, 0);
    pthread_mutex_unlock(&order);
    return result;
}

int rename(const char *old, const char *new) { return moved('R', AT_FDCWD, old, AT_FDCWD, new, 0); }
int renameat(int from, const char *old, int to, const char *new) { return moved('R', from, old, to, new, 0); }
int renameat2(int from, const char *old, int to, const char *new, unsigned flags) {
    return moved('R', from, old, to, new, flags);
}
int link(const char *old, const char *new) { return moved('L', AT_FDCWD, old, AT_FDCWD, new, 0); }
int linkat(int from, const char *old, int to, const char *new, int flags) {
    return moved('L', from, old, to, new, flags);
}

static int named(char kind, int folder, const char *name, long call, long argument) {
    char buffer[PATH_MAX];
    pthread_mutex_lock(&order);
    const char *path = of_name(folder, name, buffer);
    int result = fails(kind == 'M' ? 'c' : 'n', kind == 'M' ? "mkdir" : "unlink", path) ? -1
                 : syscall(call, folder, name, argument);
    if (result == 0 && path) put(kind, path, "", "", 0, 0);
    pthread_mutex_unlock(&order);
    return result;
}

int unlink(const char *name) { return named('U', AT_FDCWD, name, SYS_unlinkat, 0); }
int unlinkat(int folder, const char *name, int flags) {
    return named('U', folder, name, SYS_unlinkat, flags);
}
int rmdir(const char *name) { return named('U', AT_FDCWD, name, SYS_unlinkat, AT_REMOVEDIR); }
int mkdir(const char *name, mode_t mode) { return named('M', AT_FDCWD, name, SYS_mkdirat, mode); }
int mkdirat(int folder, const char *name, mode_t mode) { return named('M', folder, name, SYS_mkdirat, mode); }
