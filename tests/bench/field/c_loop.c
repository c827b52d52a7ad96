/* The floor: one thread, one epoll, and for a broadcast a bare loop of send() over the sockets.
 *
 * It does the handshake, for the client checks it, and answers a message whatever it says. It never looks into a frame
 * further than its length. A socket whose buffer is full ends the program: a floor that queues would not be one.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

enum { MOST_SOCKETS = 1 << 16, RECEIVE_BYTES = 1 << 14, LINE_BYTES = 1 << 20, EVENTS = 256, INPUT = 0 };

static char upgraded[MOST_SOCKETS];
static int sockets[MOST_SOCKETS], socket_count, place[MOST_SOCKETS];
static int epoll_fd, listen_fd;
static uint8_t answer[LINE_BYTES + 10];
static size_t answer_bytes;

static void die(const char *what) {
    perror(what);
    exit(1);
}

static uint32_t rotl(uint32_t value, int bits) { return value << bits | value >> (32 - bits); }

/* SHA-1 (RFC 3174) of fewer than 120 bytes. */
static void sha1(const char *text, size_t size, uint8_t digest[20]) {
    uint32_t h[5] = {0x67452301, 0xefcdab89, 0x98badcfe, 0x10325476, 0xc3d2e1f0}, w[80];
    uint8_t padded[128] = {0};
    size_t blocks = size < 56 ? 1 : 2;
    memcpy(padded, text, size);
    padded[size] = 0x80;
    padded[blocks * 64 - 2] = (uint8_t)(size * 8 >> 8);
    padded[blocks * 64 - 1] = (uint8_t)(size * 8);
    for (size_t block = 0; block < blocks; block++) {
        for (int i = 0; i < 16; i++) {
            const uint8_t *p = padded + block * 64 + i * 4;
            w[i] = (uint32_t)p[0] << 24 | p[1] << 16 | p[2] << 8 | p[3];
        }
        for (int i = 16; i < 80; i++) w[i] = rotl(w[i - 3] ^ w[i - 8] ^ w[i - 14] ^ w[i - 16], 1);
        uint32_t a = h[0], b = h[1], c = h[2], d = h[3], e = h[4];
        for (int i = 0; i < 80; i++) {
            uint32_t f = i < 20 ? (b & c) | (~b & d) : i < 40 || i >= 60 ? b ^ c ^ d : (b & c) | (b & d) | (c & d);
            uint32_t k = i < 20 ? 0x5a827999 : i < 40 ? 0x6ed9eba1 : i < 60 ? 0x8f1bbcdc : 0xca62c1d6;
            uint32_t next = rotl(a, 5) + f + e + k + w[i];
            e = d, d = c, c = rotl(b, 30), b = a, a = next;
        }
        h[0] += a, h[1] += b, h[2] += c, h[3] += d, h[4] += e;
    }
    for (int i = 0; i < 20; i++) digest[i] = (uint8_t)(h[i / 4] >> (24 - i % 4 * 8));
}

static void base64(const uint8_t *data, size_t size, char *text) {
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    for (size_t i = 0; i < size; i += 3) {
        uint32_t three = data[i] << 16 | (i + 1 < size ? data[i + 1] << 8 : 0) | (i + 2 < size ? data[i + 2] : 0);
        *text++ = digits[three >> 18];
        *text++ = digits[three >> 12 & 63];
        *text++ = i + 1 < size ? digits[three >> 6 & 63] : '=';
        *text++ = i + 2 < size ? digits[three & 63] : '=';
    }
    *text = 0;
}

/* A whole text frame (RFC 6455, section 5.2); returns its length. */
static size_t frame(uint8_t *out, const void *payload, size_t size) {
    size_t head = 2;
    out[0] = 0x81;
    if (size < 126) {
        out[1] = (uint8_t)size;
    } else if (size < 1 << 16) {
        out[1] = 126, out[2] = (uint8_t)(size >> 8), out[3] = (uint8_t)size;
        head = 4;
    } else {
        out[1] = 127;
        for (int i = 0; i < 8; i++) out[2 + i] = (uint8_t)(size >> (56 - 8 * i));
        head = 10;
    }
    memcpy(out + head, payload, size);
    return head + size;
}

static void send_whole(int fd, const void *data, size_t size) {
    ssize_t sent = send(fd, data, size, MSG_NOSIGNAL);
    if (sent >= 0 && (size_t)sent < size) errno = ENOBUFS;
    if ((sent < 0 && errno != EPIPE && errno != ECONNRESET) || (sent >= 0 && (size_t)sent < size)) die("send");
}

static void drop(int fd) {
    if (upgraded[fd]) {
        int last = sockets[--socket_count];
        sockets[place[fd]] = last;
        place[last] = place[fd];
        upgraded[fd] = 0;
    }
    close(fd);
}

static void upgrade(int fd, char *request, size_t size) {
    char keyed[64], response[256], accept[32];
    uint8_t digest[20];
    request[size] = 0;
    char *key = strcasestr(request, "sec-websocket-key:");
    if (!key || sscanf(key + 18, " %24[^\r]", keyed) != 1) {
        drop(fd);
        return;
    }
    strcat(keyed, "258EAFA5-E914-47DA-95CA-C5AB0DC85B11");
    sha1(keyed, strlen(keyed), digest);
    base64(digest, 20, accept);
    int length = snprintf(response, sizeof response,
                          "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                          "Sec-WebSocket-Accept: %s\r\n\r\n", accept);
    send_whole(fd, response, (size_t)length);
    upgraded[fd] = 1;
    place[fd] = socket_count;
    sockets[socket_count++] = fd;
}

/* Frames of a load client are short and come whole. */
static void read_socket(int fd) {
    static char data[RECEIVE_BYTES + 1];
    ssize_t size = recv(fd, data, RECEIVE_BYTES, 0);
    if (size <= 0) {
        if (size == 0 || errno != EAGAIN) drop(fd);
    } else if (!upgraded[fd]) {
        upgrade(fd, data, (size_t)size);
    } else {
        for (ssize_t at = 0; at + 6 <= size;) {
            size_t length = data[at + 1] & 127, head = 6;
            if (length == 126) length = (uint8_t)data[at + 2] << 8 | (uint8_t)data[at + 3], head = 8;
            if ((data[at] & 15) == 8) {
                drop(fd);
                return;
            }
            send_whole(fd, answer, answer_bytes);
            at += (ssize_t)(head + length);
        }
    }
}

static void accept_all(void) {
    int fd, on = 1;
    while ((fd = accept4(listen_fd, NULL, NULL, SOCK_NONBLOCK)) >= 0) {
        struct epoll_event event = {.events = EPOLLIN, .data.fd = fd};
        if (fd >= MOST_SOCKETS) die("too many sockets");
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
        epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &event);
    }
}

static void broadcast_lines(void) {
    static char input[LINE_BYTES];
    static uint8_t out[LINE_BYTES + 10];
    static size_t have;
    ssize_t size = read(INPUT, input + have, sizeof input - have);
    char *line = input, *end;
    if (size <= 0) exit(0);
    have += (size_t)size;
    while ((end = memchr(line, '\n', have - (size_t)(line - input)))) {
        size_t bytes = frame(out, line, (size_t)(end - line));
        for (int i = 0; i < socket_count; i++) send_whole(sockets[i], out, bytes);
        line = end + 1;
    }
    have -= (size_t)(line - input);
    memmove(input, line, have);
}

int main(int count, char **arguments) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct epoll_event events[EVENTS], event = {.events = EPOLLIN};
    struct rlimit files;
    socklen_t size = sizeof address;
    static uint8_t payload[LINE_BYTES];
    FILE *file = count > 1 ? fopen(arguments[1], "rb") : NULL;
    if (!file) die("the file with the answer");
    answer_bytes = frame(answer, payload, fread(payload, 1, sizeof payload, file));
    getrlimit(RLIMIT_NOFILE, &files);
    files.rlim_cur = files.rlim_max;
    setrlimit(RLIMIT_NOFILE, &files);
    listen_fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    if (bind(listen_fd, (struct sockaddr *)&address, size) || listen(listen_fd, 4096)) die("listen");
    getsockname(listen_fd, (struct sockaddr *)&address, &size);
    epoll_fd = epoll_create1(0);
    event.data.fd = listen_fd;
    epoll_ctl(epoll_fd, EPOLL_CTL_ADD, listen_fd, &event);
    event.data.fd = INPUT;
    if (epoll_ctl(epoll_fd, EPOLL_CTL_ADD, INPUT, &event)) die("standard input");
    printf("ready %d\n", ntohs(address.sin_port));
    fflush(stdout);
    for (;;) {
        int ready = epoll_wait(epoll_fd, events, EVENTS, -1);
        for (int i = 0; i < ready; i++) {
            if (events[i].data.fd == listen_fd) accept_all();
            else if (events[i].data.fd == INPUT) broadcast_lines();
            else read_socket(events[i].data.fd);
        }
    }
}
