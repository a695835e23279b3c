/* proxy/io/socket.h — recv(2), send(2) and sendmsg(2), as the loops call them.
 *
 * To glibc each of these is a point where a thread may be cancelled, which it announces and takes
 * back around the call: two locked instructions, eight for a small request. Nobody cancels threads
 * here, so socket.c asks the kernel itself. Builds with sanitizers take socket_checked.c, because
 * what they know of a socket's bytes and of who may touch them they learn from glibc's calls.
 * Arguments, results and errno are those of the manual pages. Any thread. */
#pragma once
#include <sys/socket.h>
#include <sys/types.h>

ssize_t socket_receive(int fd, void *ret_data, size_t size, int flags);
ssize_t socket_send(int fd, const void *data, size_t size, int flags);
ssize_t socket_send_message(int fd, const struct msghdr *message, int flags);
