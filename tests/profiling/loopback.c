/* Preloaded into a daemon that would listen everywhere: it listens on this machine's loopback only, and on no virtual socket. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>

#ifndef AF_VSOCK
#define AF_VSOCK 40
#endif

int socket(int family, int type, int protocol) {
    int (*real)(int, int, int) = (int (*)(int, int, int))dlsym(RTLD_NEXT, "socket");
    if (family == AF_VSOCK) {
        errno = EAFNOSUPPORT;
        return -1;
    }
    return real(family, type, protocol);
}

int bind(int fd, const struct sockaddr *address, socklen_t length) {
    int (*real)(int, const struct sockaddr *, socklen_t) = (int (*)(int, const struct sockaddr *, socklen_t))dlsym(RTLD_NEXT, "bind");
    if (address->sa_family == AF_INET) {
        struct sockaddr_in v4;
        memcpy(&v4, address, sizeof v4);
        v4.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        return real(fd, (struct sockaddr *)&v4, sizeof v4);
    }
    if (address->sa_family == AF_INET6) {
        static const unsigned char mapped[16] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 255, 255, 127, 0, 0, 1};
        struct sockaddr_in6 v6;
        memcpy(&v6, address, sizeof v6);
        memcpy(&v6.sin6_addr, mapped, sizeof mapped);
        return real(fd, (struct sockaddr *)&v6, sizeof v6);
    }
    return real(fd, address, length);
}
