#include "proxy/tls/tls_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum err tls_file_check(const char *path, struct note *note)
{
    struct stat status;
    int fd = open(path, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    bool is_open = fd >= 0 && fstat(fd, &status) == 0;
    int reason = errno;
    if (fd >= 0) {
        (void)close(fd);
    }
    if (!is_open) {
        note_set(note, "%s: cannot be read: %s", path, strerror(reason));
        return ERR_IO;
    }
    if (!S_ISREG(status.st_mode)) {
        note_set(note, "%s: cannot be read: it is not a plain file", path);
        return ERR_IO;
    }
    if (status.st_size > TLS_FILE_SIZE_MAX) {
        note_set(note, "%s: cannot be read: it is larger than %d MiB", path,
                 TLS_FILE_SIZE_MAX >> 20);
        return ERR_IO;
    }
    return OK;
}
