#include "proxy/tls/tls_file.h"

#include <sys/stat.h>

bool tls_file_is_plain(const char *path)
{
    struct stat status;
    return stat(path, &status) == 0 && S_ISREG(status.st_mode) &&
           status.st_size <= TLS_FILE_SIZE_MAX;
}
