/*
 * What getaddrinfo(3) of the libc that it is linked to says, as `getent ahosts` does for Debian's: `resolve 4|6|any NAME` prints the addresses, or the error and fails.
 * Tests link it to musl.
 */
#include <arpa/inet.h>
#include <netdb.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

int main(int argc, char **argv)
{
	struct addrinfo hints = { .ai_socktype = SOCK_STREAM }, *found;
	if (argc != 3)
		return 2;
	hints.ai_family = !strcmp(argv[1], "4") ? AF_INET : !strcmp(argv[1], "6") ? AF_INET6 : AF_UNSPEC;
	int error = getaddrinfo(argv[2], NULL, &hints, &found);
	if (error) {
		printf("%s\n", gai_strerror(error));
		return 1;
	}
	for (struct addrinfo *one = found; one; one = one->ai_next) {
		char text[INET6_ADDRSTRLEN];
		const void *address = one->ai_family == AF_INET ? (void *)&((struct sockaddr_in *)one->ai_addr)->sin_addr : (void *)&((struct sockaddr_in6 *)one->ai_addr)->sin6_addr;
		printf("%s\n", inet_ntop(one->ai_family, address, text, sizeof text));
	}
	return 0;
}
