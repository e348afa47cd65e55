/*
 * A disk that fails on command, between a program and the kernel: a library for LD_PRELOAD (Linux, glibc).
 *
 *     cc -shared -fPIC -O1 -o libdisk.so disk.c -lpthread
 *     FAULT_ROOT=/tmp/data FAULT_CONTROL=/tmp/control FAULT_LOG=/tmp/log LD_PRELOAD=./libdisk.so readhook serve
 *
 * FAULT_ROOT     Only files below this folder (an absolute path without symbolic links) are affected.
 * FAULT_CONTROL  The rules, below. They can be changed while the program runs. 8192 bytes:
 *                  0  u64  generation; write the text first, then another number here
 *                  8  u64  the generation whose rules are in force (written by the library)
 *                 16  u64  how often a rule has applied (written by the library)
 *                 64  the rules as text, one a line, ended by a NUL
 * FAULT_LOG      Every write and sync is appended here, for the simulation of a power cut. Optional.
 * FAULT_SYNC=1   Successful syncs really sync. Without it they only count as synced, which is faster.
 *
 * Rules, one a line; the first that fits an operation decides:
 *     OPERATIONS PATTERN ACTION [skip=N] [times=N]
 *       OPERATIONS  of write, sync, dirsync, truncate, create, rename, unlink, separated by commas
 *       PATTERN     as in a shell, against the path below FAULT_ROOT; a `*` also matches a `/`
 *       ACTION      EIO, ENOSPC, EDQUOT, EROFS: the operation fails and does nothing.
 *                   For `sync`, as Linux does it, the error is returned once by every descriptor that was open:
 *                     EIO/keep   dirty pages become clean; the page cache keeps what no longer gets to the disk
 *                     EIO/evict  the same, and the cache has lost the pages: reads give what was synced last
 *                   short        a write takes half of its bytes
 *                   delay:MS     the operation is late and then done
 *                   wait         the operation waits until the rule is gone
 *       skip, times the rule leaves out the first N that fit; it applies N times
 *     clock SECONDS   the system clock (CLOCK_REALTIME) is off by so much; may be negative
 *     freeze          every operation waits: the program can be killed between two operations
 *
 * Not seen: memory maps (SQLite's -shm), direct system calls, and what a program that was not started with this
 * library does.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <fnmatch.h>
#include <limits.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#define PAGE 4096
#define CONTROL_BYTES 8192
#define RULES_AT 64
#define MAX_RULES 32
#define MAX_FDS 65536

enum operation { WRITE = 1, SYNC = 2, DIRSYNC = 4, TRUNCATE = 8, CREATE = 16, RENAME = 32, UNLINK = 64 };
enum action { FAIL, KEEP, EVICT, SHORT, DELAY, WAIT };

struct rule {
    unsigned operations;
    char pattern[128];
    enum action action;
    int code;
    long milliseconds, skip, times;
};

/* A page that differs from what is on the disk: what is there, and whether a sync would write it. */
struct page {
    uint64_t index;
    int dirty;
    struct page *next;
    unsigned char durable[PAGE];
};

#define BUCKETS 512
struct inode {
    dev_t device;
    ino_t number;
    int writable; /* a descriptor of the library's own, to take writes back */
    unsigned errors;
    off_t durable_size;
    struct page *pages[BUCKETS];
    struct inode *next;
};

/* An open file description. */
struct description {
    struct inode *inode;
    unsigned errors_seen;
    int references, append, directory;
    char path[512]; /* below the root */
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct description *descriptions[MAX_FDS];
static struct inode *inodes;
static struct rule rules[MAX_RULES];
static int rule_count, frozen, really_sync;
static double clock_offset;
static uint64_t generation;
static unsigned char *control;
static char root[PATH_MAX];
static size_t root_length;
static int log_file = -1;

static void die(const char *what) {
    dprintf(2, "disk.c: %s: %s\n", what, strerror(errno));
    _exit(99);
}

/* --- The log -------------------------------------------------------------------------------------------------- */

struct record {
    uint32_t magic;
    uint8_t kind; /* C create, O open, W write, T truncate, S sync, E failed sync, D directory synced, R rename, U unlink,
                     F another fault */
    uint8_t detail; /* E: 0 keep, 1 evict, 2 already reported elsewhere; F: the errno */
    uint16_t path_length;
    uint64_t inode, offset, length;
};

static void put(uint8_t kind, uint8_t detail, uint64_t inode, uint64_t offset, uint64_t length, const char *path,
                const void *data, size_t data_length) {
    if (log_file < 0) return;
    struct record record = {0x4b534944, kind, detail, (uint16_t)strlen(path), inode, offset, length};
    struct iovec parts[] = {{&record, sizeof record}, {(void *)path, record.path_length}, {(void *)data, data_length}};
    size_t total = sizeof record + record.path_length + data_length;
    if (syscall(SYS_writev, log_file, parts, 3) != (long)total) die("the log cannot be written");
}

/* --- The rules ------------------------------------------------------------------------------------------------ */

static unsigned operations_of(char *text) {
    static const char *names[] = {"write", "sync", "dirsync", "truncate", "create", "rename", "unlink"};
    unsigned found = 0;
    char *rest = NULL;
    for (char *word = strtok_r(text, ",", &rest); word; word = strtok_r(NULL, ",", &rest)) {
        unsigned one = 0;
        for (unsigned i = 0; i < 7; i++)
            if (!strcmp(word, names[i])) one = 1u << i;
        if (!one) { errno = EINVAL; die(word); }
        found |= one;
    }
    return found;
}

static void action_of(struct rule *rule, const char *text) {
    static const struct { const char *name; int code; } codes[] = {
        {"EIO", EIO}, {"ENOSPC", ENOSPC}, {"EDQUOT", EDQUOT}, {"EROFS", EROFS}, {"EACCES", EACCES}, {"EMFILE", EMFILE}};
    if (!strncmp(text, "delay:", 6)) {
        rule->action = DELAY;
        rule->milliseconds = atol(text + 6);
        return;
    }
    if (!strcmp(text, "short")) { rule->action = SHORT; return; }
    if (!strcmp(text, "wait")) { rule->action = WAIT; return; }
    const char *slash = strchr(text, '/');
    size_t length = slash ? (size_t)(slash - text) : strlen(text);
    for (unsigned i = 0; i < sizeof codes / sizeof *codes; i++)
        if (strlen(codes[i].name) == length && !strncmp(text, codes[i].name, length)) rule->code = codes[i].code;
    if (!rule->code) { errno = EINVAL; die(text); }
    rule->action = !slash ? FAIL : !strcmp(slash, "/evict") ? EVICT : KEEP;
}

static void parse(void) {
    char text[CONTROL_BYTES - RULES_AT];
    memcpy(text, control + RULES_AT, sizeof text);
    text[sizeof text - 1] = 0;
    rule_count = 0;
    frozen = 0;
    clock_offset = 0;
    char *rest = NULL;
    for (char *line = strtok_r(text, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest)) {
        char first[64], second[128], third[64] = "";
        int used = 0, fields = sscanf(line, "%63s %127s %63s %n", first, second, third, &used);
        if (fields < 1 || *first == '#') continue;
        if (!strcmp(first, "freeze")) { frozen = 1; continue; }
        if (!strcmp(first, "clock") && fields >= 2) { clock_offset = atof(second); continue; }
        if (fields < 3 || rule_count == MAX_RULES) { errno = EINVAL; die(line); }
        struct rule *rule = &rules[rule_count++];
        memset(rule, 0, sizeof *rule);
        rule->operations = operations_of(first);
        strcpy(rule->pattern, second);
        rule->times = LONG_MAX;
        action_of(rule, third);
        char *words = line + used, *more = NULL;
        for (char *word = strtok_r(words, " ", &more); word; word = strtok_r(NULL, " ", &more)) {
            if (sscanf(word, "skip=%ld", &rule->skip) != 1 && sscanf(word, "times=%ld", &rule->times) != 1) {
                errno = EINVAL;
                die(word);
            }
        }
    }
}

static uint64_t *field(int at) { return (uint64_t *)(control + at); }

/* With the lock held: takes over what the control file says. */
static void obey(void) {
    if (!control) return;
    uint64_t now = __atomic_load_n(field(0), __ATOMIC_ACQUIRE);
    if (now == generation) return;
    parse();
    generation = now;
    __atomic_store_n(field(8), now, __ATOMIC_RELEASE);
}

static void rest(long milliseconds) {
    struct timespec time = {milliseconds / 1000, milliseconds % 1000 * 1000000};
    while (syscall(SYS_nanosleep, &time, &time) != 0 && errno == EINTR) {}
}

/* Takes the lock, when nothing is frozen. */
static void enter(void) {
    for (;;) {
        pthread_mutex_lock(&lock);
        obey();
        if (!frozen) return;
        pthread_mutex_unlock(&lock);
        rest(1);
    }
}

static void leave(void) { pthread_mutex_unlock(&lock); }

/* With the lock held: the rule that applies to an operation, if one does. Delays it where the rule says so. */
static struct rule *applies(enum operation operation, const char *path) {
again:
    for (int i = 0; i < rule_count; i++) {
        struct rule *rule = &rules[i];
        if (!(rule->operations & operation) || fnmatch(rule->pattern, path, 0)) continue;
        if (rule->skip > 0) { rule->skip--; continue; }
        if (rule->times <= 0) continue;
        if (rule->action == WAIT) {
            __atomic_add_fetch(field(16), 1, __ATOMIC_RELAXED);
            uint64_t waits_for = generation;
            do {
                leave();
                rest(1);
                enter();
            } while (generation == waits_for);
            goto again;
        }
        rule->times--;
        __atomic_add_fetch(field(16), 1, __ATOMIC_RELAXED);
        if (rule->action == DELAY) {
            long milliseconds = rule->milliseconds;
            leave();
            rest(milliseconds);
            enter();
            return NULL;
        }
        return rule;
    }
    return NULL;
}

/* A fault that does nothing but fail. */
static int fails(struct rule *rule, const char *path) {
    if (!rule || rule->action == SHORT) return 0;
    put('F', (uint8_t)rule->code, 0, 0, 0, path, NULL, 0);
    errno = rule->code;
    return 1;
}

static void *watch(void *nothing) {
    (void)nothing;
    for (;;) {
        pthread_mutex_lock(&lock);
        obey();
        pthread_mutex_unlock(&lock);
        rest(2);
    }
    return NULL;
}

__attribute__((constructor)) static void begin(void) {
    const char *path = getenv("FAULT_ROOT"), *rules_in = getenv("FAULT_CONTROL"), *log_to = getenv("FAULT_LOG");
    if (!path || !rules_in) return;
    really_sync = getenv("FAULT_SYNC") != NULL;
    snprintf(root, sizeof root, "%s/", path);
    root_length = strlen(root);
    int file = (int)syscall(SYS_openat, AT_FDCWD, rules_in, O_RDWR | O_CLOEXEC, 0);
    if (file < 0) die(rules_in);
    control = mmap(NULL, CONTROL_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    if (control == MAP_FAILED) die("mmap");
    syscall(SYS_close, file);
    if (log_to) {
        file = (int)syscall(SYS_openat, AT_FDCWD, log_to, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
        log_file = (int)syscall(SYS_fcntl, file, F_DUPFD_CLOEXEC, 900);
        if (log_file < 0) die(log_to);
        syscall(SYS_close, file);
    }
    pthread_mutex_lock(&lock);
    obey();
    pthread_mutex_unlock(&lock);
    pthread_t thread;
    if (pthread_create(&thread, NULL, watch, NULL)) die("pthread_create");
    pthread_detach(thread);
}

/* --- Files ---------------------------------------------------------------------------------------------------- */

/* The path below the root, or NULL when it is elsewhere. */
static const char *below(int folder, const char *path, char *buffer, size_t size) {
    if (!root_length || !path) return NULL;
    if (*path != '/') {
        char link[64];
        char at[PATH_MAX];
        ssize_t length;
        if (folder == AT_FDCWD) {
            length = syscall(SYS_getcwd, at, sizeof at);
            if (length > 0) length--; /* the NUL */
        } else {
            snprintf(link, sizeof link, "/proc/self/fd/%d", folder);
            length = syscall(SYS_readlinkat, AT_FDCWD, link, at, sizeof at);
        }
        if (length <= 0) return NULL;
        if ((size_t)snprintf(buffer, size, "%.*s/%s", (int)length, at, path) >= size) return NULL;
    } else if ((size_t)snprintf(buffer, size, "%s", path) >= size) {
        return NULL;
    }
    if (!strncmp(buffer, root, root_length)) return buffer + root_length;
    /* The root itself. */
    if (!strncmp(buffer, root, root_length - 1) && !buffer[root_length - 1]) return ".";
    return NULL;
}

static struct description *of(int fd) { return fd >= 0 && fd < MAX_FDS ? descriptions[fd] : NULL; }

static struct inode *inode_of(const struct stat *file, int created) {
    struct inode *inode = inodes;
    while (inode && (inode->device != file->st_dev || inode->number != file->st_ino)) inode = inode->next;
    if (inode && created) {
        /* The number of a file that is gone. */
        for (int i = 0; i < BUCKETS; i++)
            while (inode->pages[i]) {
                struct page *page = inode->pages[i];
                inode->pages[i] = page->next;
                free(page);
            }
        if (inode->writable >= 0) syscall(SYS_close, inode->writable);
        inode->writable = -1;
        inode->durable_size = 0;
        inode->errors = 0;
    }
    if (!inode) {
        inode = calloc(1, sizeof *inode);
        if (!inode) die("calloc");
        inode->device = file->st_dev;
        inode->number = file->st_ino;
        inode->writable = -1;
        inode->durable_size = file->st_size;
        inode->next = inodes;
        inodes = inode;
    }
    return inode;
}

static void track(int fd, const char *path, int flags, int created) {
    struct stat file;
    if (fd < 0 || fd >= MAX_FDS || fstat(fd, &file)) return;
    int directory = S_ISDIR(file.st_mode);
    if (!directory && !S_ISREG(file.st_mode)) return;
    struct description *description = calloc(1, sizeof *description);
    if (!description) die("calloc");
    description->references = 1;
    description->append = (flags & O_APPEND) != 0;
    description->directory = directory;
    snprintf(description->path, sizeof description->path, "%s", path);
    description->inode = inode_of(&file, created);
    description->errors_seen = description->inode->errors;
    descriptions[fd] = description;
    if (!directory) {
        put(created ? 'C' : 'O', 0, file.st_ino, 0, 0, path, NULL, 0);
        if (!created && (flags & O_TRUNC)) put('T', 0, file.st_ino, 0, 0, path, NULL, 0);
    }
}

static void untrack(int fd) {
    struct description *description = of(fd);
    if (!description) return;
    descriptions[fd] = NULL;
    if (--description->references == 0) free(description);
}

static struct page *page_of(struct inode *inode, uint64_t index) {
    struct page *page = inode->pages[index % BUCKETS];
    while (page && page->index != index) page = page->next;
    return page;
}

static int open_again(int fd, int flags) {
    char path[64];
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    return (int)syscall(SYS_openat, AT_FDCWD, path, flags | O_CLOEXEC, 0);
}

/* Remembers what is on the disk of the pages that are about to be written. */
static void remember(int fd, struct inode *inode, off_t offset, size_t length) {
    if (!length) return;
    /* For reading and for taking back. Never closed: that would end the process's locks on the file. */
    if (inode->writable < 0 && (inode->writable = open_again(fd, O_RDWR)) < 0) die("a file cannot be opened again");
    for (uint64_t index = offset / PAGE; index <= (offset + length - 1) / PAGE; index++) {
        struct page *page = page_of(inode, index);
        if (!page) {
            page = calloc(1, sizeof *page);
            if (!page) die("calloc");
            page->index = index;
            if (syscall(SYS_pread64, inode->writable, page->durable, PAGE, (off_t)(index * PAGE)) < 0) die("pread");
            page->next = inode->pages[index % BUCKETS];
            inode->pages[index % BUCKETS] = page;
        }
        page->dirty = 1;
    }
}

static void synced(int fd, struct inode *inode) {
    for (int i = 0; i < BUCKETS; i++)
        for (struct page **at = &inode->pages[i]; *at;) {
            struct page *page = *at;
            if (page->dirty) {
                *at = page->next;
                free(page);
            } else {
                at = &page->next;
            }
        }
    struct stat file;
    if (!fstat(fd, &file)) inode->durable_size = file.st_size;
}

static void lose(struct inode *inode, int evict) {
    for (int i = 0; i < BUCKETS; i++)
        for (struct page **at = &inode->pages[i]; *at;) {
            struct page *page = *at;
            if (evict && page->dirty) {
                off_t from = (off_t)(page->index * PAGE);
                off_t length = inode->durable_size - from;
                if (length > PAGE) length = PAGE;
                if (length > 0 && syscall(SYS_pwrite64, inode->writable, page->durable, length, from) != length)
                    die("pwrite");
                *at = page->next;
                free(page);
                continue;
            }
            page->dirty = 0;
            at = &page->next;
        }
    if (evict && inode->writable >= 0 && syscall(SYS_ftruncate, inode->writable, inode->durable_size)) die("ftruncate");
}

static int opened(int folder, const char *path, int flags, mode_t mode) {
    char buffer[PATH_MAX];
    const char *name = below(folder, path, buffer, sizeof buffer);
    if (!name) return (int)syscall(SYS_openat, folder, path, flags, mode);
    enter();
    struct stat before;
    int created = (flags & O_CREAT) && fstatat(folder, path, &before, 0) != 0;
    int fd = -1;
    if (!created || !fails(applies(CREATE, name), name)) {
        fd = (int)syscall(SYS_openat, folder, path, flags, mode);
        int code = errno;
        if (fd >= 0) track(fd, name, flags, created);
        errno = code;
    }
    leave();
    return fd;
}

#define MODE(flags, mode)                                  \
    mode_t mode = 0;                                       \
    if ((flags & O_CREAT) || (flags & O_TMPFILE) == O_TMPFILE) { \
        va_list arguments;                                 \
        va_start(arguments, flags);                        \
        mode = va_arg(arguments, mode_t);                  \
        va_end(arguments);                                 \
    }

int open(const char *path, int flags, ...) { MODE(flags, mode) return opened(AT_FDCWD, path, flags, mode); }
int open64(const char *path, int flags, ...) { MODE(flags, mode) return opened(AT_FDCWD, path, flags, mode); }
int openat(int folder, const char *path, int flags, ...) { MODE(flags, mode) return opened(folder, path, flags, mode); }
int openat64(int folder, const char *path, int flags, ...) { MODE(flags, mode) return opened(folder, path, flags, mode); }
int creat(const char *path, mode_t mode) { return opened(AT_FDCWD, path, O_CREAT | O_WRONLY | O_TRUNC, mode); }

int close(int fd) {
    if (of(fd)) {
        pthread_mutex_lock(&lock);
        untrack(fd);
        pthread_mutex_unlock(&lock);
    }
    return (int)syscall(SYS_close, fd);
}

int fcntl64(int fd, int command, ...) {
    va_list arguments;
    va_start(arguments, command);
    void *argument = va_arg(arguments, void *);
    va_end(arguments);
    if ((command == F_DUPFD || command == F_DUPFD_CLOEXEC) && of(fd)) {
        pthread_mutex_lock(&lock);
        int copy = (int)syscall(SYS_fcntl, fd, command, argument);
        if (copy >= 0 && copy < MAX_FDS) {
            descriptions[copy] = descriptions[fd];
            descriptions[copy]->references++;
        }
        pthread_mutex_unlock(&lock);
        return copy;
    }
    return (int)syscall(SYS_fcntl, fd, command, argument);
}

int fcntl(int fd, int command, ...) {
    va_list arguments;
    va_start(arguments, command);
    void *argument = va_arg(arguments, void *);
    va_end(arguments);
    return fcntl64(fd, command, argument);
}

static ssize_t written(int fd, const void *bytes, size_t length, off_t at, int positioned) {
    enter();
    struct description *description = of(fd);
    ssize_t result = -1;
    if (!description) {
        leave();
        return positioned ? syscall(SYS_pwrite64, fd, bytes, length, at) : syscall(SYS_write, fd, bytes, length);
    }
    struct rule *rule = applies(WRITE, description->path);
    if (!fails(rule, description->path)) {
        if (rule && rule->action == SHORT && length > 1) length /= 2;
        struct inode *inode = description->inode;
        struct stat file;
        if (description->append) at = fstat(fd, &file) ? 0 : file.st_size;
        else if (!positioned) at = lseek(fd, 0, SEEK_CUR);
        remember(fd, inode, at, length);
        result = positioned ? syscall(SYS_pwrite64, fd, bytes, length, at) : syscall(SYS_write, fd, bytes, length);
        int code = errno;
        if (result > 0) put('W', 0, inode->number, at, result, description->path, bytes, result);
        errno = code;
    }
    leave();
    return result;
}

ssize_t write(int fd, const void *bytes, size_t length) {
    return of(fd) ? written(fd, bytes, length, 0, 0) : syscall(SYS_write, fd, bytes, length);
}
ssize_t pwrite(int fd, const void *bytes, size_t length, off_t at) {
    return of(fd) ? written(fd, bytes, length, at, 1) : syscall(SYS_pwrite64, fd, bytes, length, at);
}
ssize_t pwrite64(int fd, const void *bytes, size_t length, off64_t at) { return pwrite(fd, bytes, length, at); }

/* As much as goes into one buffer: a short write is allowed. */
ssize_t writev(int fd, const struct iovec *parts, int count) {
    if (!of(fd)) return syscall(SYS_writev, fd, parts, count);
    for (int i = 0; i < count; i++)
        if (parts[i].iov_len) return written(fd, parts[i].iov_base, parts[i].iov_len, 0, 0);
    return 0;
}

static int resized(int fd, off_t length) {
    enter();
    struct description *description = of(fd);
    int result = -1;
    if (!description) {
        leave();
        return (int)syscall(SYS_ftruncate, fd, length);
    }
    if (!fails(applies(TRUNCATE, description->path), description->path)) {
        struct stat file;
        if (!fstat(fd, &file) && length < file.st_size) remember(fd, description->inode, length, file.st_size - length);
        result = (int)syscall(SYS_ftruncate, fd, length);
        if (!result) put('T', 0, description->inode->number, 0, length, description->path, NULL, 0);
    }
    leave();
    return result;
}

int ftruncate(int fd, off_t length) { return of(fd) ? resized(fd, length) : (int)syscall(SYS_ftruncate, fd, length); }
int ftruncate64(int fd, off64_t length) { return ftruncate(fd, length); }

static int allocated(int fd, int mode, off_t offset, off_t length) {
    struct description *description = of(fd);
    if (!description) return (int)syscall(SYS_fallocate, fd, mode, offset, length);
    /* A file system may not have it; whoever asks must then write. */
    errno = EOPNOTSUPP;
    return -1;
}
int fallocate(int fd, int mode, off_t offset, off_t length) { return allocated(fd, mode, offset, length); }
int fallocate64(int fd, int mode, off64_t offset, off64_t length) { return allocated(fd, mode, offset, length); }
int posix_fallocate(int fd, off_t offset, off_t length) { return allocated(fd, 0, offset, length) ? errno : 0; }
int posix_fallocate64(int fd, off64_t offset, off64_t length) { return allocated(fd, 0, offset, length) ? errno : 0; }

/* Whoever copies must then read and write. */
ssize_t copy_file_range(int from, off64_t *at, int to, off64_t *there, size_t length, unsigned flags) {
    if (!of(to)) return syscall(SYS_copy_file_range, from, at, to, there, length, flags);
    errno = ENOSYS;
    return -1;
}
ssize_t sendfile64(int to, int from, off64_t *offset, size_t length) {
    if (!of(to)) return syscall(SYS_sendfile, to, from, offset, length);
    errno = ENOSYS;
    return -1;
}
ssize_t sendfile(int to, int from, off_t *offset, size_t length) { return sendfile64(to, from, offset, length); }

static int sync_one(int fd, long call) {
    enter();
    struct description *description = of(fd);
    if (!description) {
        leave();
        return (int)syscall(call, fd);
    }
    struct inode *inode = description->inode;
    struct rule *rule = applies(description->directory ? DIRSYNC : SYNC, description->path);
    int result = 0;
    if (rule && rule->action != SHORT) {
        inode->errors++;
        description->errors_seen = inode->errors;
        if (description->directory) {
            put('F', (uint8_t)rule->code, inode->number, 0, 0, description->path, NULL, 0);
        } else {
            int evict = rule->action == EVICT;
            put('E', (uint8_t)evict, inode->number, 0, 0, description->path, NULL, 0);
            lose(inode, evict);
        }
        errno = rule->code;
        result = -1;
    } else {
        /* What was lost before is reported here, too; what has been written since does get to the disk. */
        int report = description->errors_seen != inode->errors;
        description->errors_seen = inode->errors;
        if (really_sync && syscall(call, fd)) {
            result = -1;
        } else if (description->directory) {
            put('D', 0, inode->number, 0, 0, description->path, NULL, 0);
        } else {
            synced(fd, inode);
            put('S', 0, inode->number, 0, 0, description->path, NULL, 0);
        }
        if (report && !result) {
            put('E', 2, inode->number, 0, 0, description->path, NULL, 0);
            errno = EIO;
            result = -1;
        }
    }
    leave();
    return result;
}

int fsync(int fd) { return of(fd) ? sync_one(fd, SYS_fsync) : (int)syscall(SYS_fsync, fd); }
int fdatasync(int fd) { return of(fd) ? sync_one(fd, SYS_fdatasync) : (int)syscall(SYS_fdatasync, fd); }

static int renamed(int from_folder, const char *from, int to_folder, const char *to, unsigned flags) {
    char one[PATH_MAX], other[PATH_MAX], both[PATH_MAX];
    const char *old = below(from_folder, from, one, sizeof one);
    const char *new = below(to_folder, to, other, sizeof other);
    if (!old || !new) return (int)syscall(SYS_renameat2, from_folder, from, to_folder, to, flags);
    enter();
    int result = -1;
    if (!fails(applies(RENAME, new), new)) {
        result = (int)syscall(SYS_renameat2, from_folder, from, to_folder, to, flags);
        int code = errno;
        if (!result && (size_t)snprintf(both, sizeof both, "%s\n%s", old, new) < sizeof both) {
            put('R', 0, 0, 0, 0, both, NULL, 0);
            for (int fd = 0; fd < 4096; fd++) {
                struct description *description = descriptions[fd];
                if (description && !strcmp(description->path, old))
                    snprintf(description->path, sizeof description->path, "%s", new);
            }
        }
        errno = code;
    }
    leave();
    return result;
}
int rename(const char *from, const char *to) { return renamed(AT_FDCWD, from, AT_FDCWD, to, 0); }
int renameat(int a, const char *from, int b, const char *to) { return renamed(a, from, b, to, 0); }
int renameat2(int a, const char *from, int b, const char *to, unsigned flags) { return renamed(a, from, b, to, flags); }

static int removed(int folder, const char *path, int flags) {
    char buffer[PATH_MAX];
    const char *name = below(folder, path, buffer, sizeof buffer);
    if (!name) return (int)syscall(SYS_unlinkat, folder, path, flags);
    enter();
    int result = -1;
    if (!fails(applies(UNLINK, name), name)) {
        result = (int)syscall(SYS_unlinkat, folder, path, flags);
        int code = errno;
        if (!result) put('U', 0, 0, 0, 0, name, NULL, 0);
        errno = code;
    }
    leave();
    return result;
}
int unlink(const char *path) { return removed(AT_FDCWD, path, 0); }
int unlinkat(int folder, const char *path, int flags) { return removed(folder, path, flags); }
int rmdir(const char *path) { return removed(AT_FDCWD, path, AT_REMOVEDIR); }
int remove(const char *path) {
    int result = removed(AT_FDCWD, path, 0);
    return result && errno == EISDIR ? removed(AT_FDCWD, path, AT_REMOVEDIR) : result;
}

/* --- The clock ------------------------------------------------------------------------------------------------ */

int clock_gettime(clockid_t which, struct timespec *time) {
    int result = (int)syscall(SYS_clock_gettime, which, time);
    if (!result && clock_offset != 0 && (which == CLOCK_REALTIME || which == CLOCK_REALTIME_COARSE))
        time->tv_sec += (time_t)clock_offset;
    return result;
}

int gettimeofday(struct timeval *restrict time, void *restrict zone) {
    (void)zone;
    struct timespec now;
    int result = clock_gettime(CLOCK_REALTIME, &now);
    *time = (struct timeval){now.tv_sec, now.tv_nsec / 1000};
    return result;
}

time_t time(time_t *seconds) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    if (seconds) *seconds = now.tv_sec;
    return now.tv_sec;
}
