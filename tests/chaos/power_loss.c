/* Remembers files as a disk would after a power failure: as of their last fsync.
 *
 * Preloaded into a process, it copies a file that is under $POWER_WATCH to $POWER_SHADOW/<inode>
 * after each fsync or fdatasync of it, and the names in the folder to $POWER_SHADOW/names
 * ("<inode> <name>" a line) after each fsync of the folder. A copy replaces the earlier one by
 * rename, so that a kill at any moment leaves a whole one. Writes that were never synced, and
 * names that were never synced, are in no copy.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <dlfcn.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static const char *env(const char *name) {
    const char *value = getenv(name);
    return value ? value : "";
}

static void die(const char *what) {
    perror(what);
    abort();
}

static void keep_file(int fd, ino_t inode) {
    char part[PATH_MAX], whole[PATH_MAX], self[64], buffer[65536];
    snprintf(part, sizeof part, "%s/%lu.part", env("POWER_SHADOW"), (unsigned long)inode);
    snprintf(whole, sizeof whole, "%s/%lu", env("POWER_SHADOW"), (unsigned long)inode);
    snprintf(self, sizeof self, "/proc/self/fd/%d", fd);
    /* pread on the caller's own descriptor: closing a second one would drop SQLite's locks. */
    int out = open(part, O_WRONLY | O_CREAT | O_TRUNC, 0644);
    if (out < 0) die(part);
    off_t at = 0;
    ssize_t n;
    while ((n = pread(fd, buffer, sizeof buffer, at)) > 0) {
        if (write(out, buffer, n) != n) die(part);
        at += n;
    }
    if (n < 0) die(self);
    close(out);
    if (rename(part, whole)) die(whole);
}

static void keep_names(const char *folder) {
    char part[PATH_MAX], whole[PATH_MAX];
    snprintf(part, sizeof part, "%s/names.part", env("POWER_SHADOW"));
    snprintf(whole, sizeof whole, "%s/names", env("POWER_SHADOW"));
    FILE *out = fopen(part, "w");
    DIR *in = opendir(folder);
    if (!out || !in) die(folder);
    for (struct dirent *one; (one = readdir(in));)
        if (one->d_type == DT_REG) fprintf(out, "%lu %s\n", (unsigned long)one->d_ino, one->d_name);
    closedir(in);
    fclose(out);
    if (rename(part, whole)) die(whole);
}

static void remember(int fd) {
    const char *watch = env("POWER_WATCH");
    char link[64], path[PATH_MAX];
    struct stat about;
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t n = readlink(link, path, sizeof path - 1);
    if (!*watch || n < 0 || fstat(fd, &about)) return;
    path[n] = 0;
    if (strncmp(path, watch, strlen(watch))) return;
    if (S_ISDIR(about.st_mode)) keep_names(path);
    else keep_file(fd, about.st_ino);
}

static int sync_and_remember(const char *name, int fd) {
    int (*real)(int) = (int (*)(int))dlsym(RTLD_NEXT, name);
    int result = real(fd);
    if (result == 0) remember(fd);
    return result;
}

int fsync(int fd) { return sync_and_remember("fsync", fd); }
int fdatasync(int fd) { return sync_and_remember("fdatasync", fd); }
