/* proxy/io/socket_checked.c — proxy/io/socket.h by way of glibc, where sanitizers look on. */
#include "proxy/io/socket.h"

ssize_t socket_receive(int fd, void *ret_data, size_t size, int flags)
{
    return recv(fd, ret_data, size, flags);
}

ssize_t socket_send(int fd, const void *data, size_t size, int flags)
{
    return send(fd, data, size, flags);
}

ssize_t socket_send_message(int fd, const struct msghdr *message, int flags)
{
    return sendmsg(fd, message, flags);
}
