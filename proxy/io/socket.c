#include "proxy/io/socket.h"

#include <stddef.h>
#include <sys/syscall.h>
#include <unistd.h>

ssize_t socket_receive(int fd, void *ret_data, size_t size, int flags)
{
    return syscall(SYS_recvfrom, fd, ret_data, size, flags, NULL, NULL);
}

ssize_t socket_send(int fd, const void *data, size_t size, int flags)
{
    return syscall(SYS_sendto, fd, data, size, flags, NULL, 0);
}

ssize_t socket_send_message(int fd, const struct msghdr *message, int flags)
{
    return syscall(SYS_sendmsg, fd, message, flags);
}
