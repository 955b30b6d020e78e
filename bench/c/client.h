/* What all load generators share: options, clocks, the server's address, and how they talk to the harness.
 *
 * Knows no protocol. Between the warm-up and the measurement nothing is in flight, and the load generator waits
 * for a line on stdin: the harness reads the server's CPU clock while the server is at rest. Only loopback
 * addresses are allowed, and every count and time has a limit, so that a typo cannot load another machine, or
 * this one forever.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <getopt.h>
#include <netinet/tcp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum {
    PATIENCE_S = 10,
    PATTERN_PERIOD = 4096, /* messages start at different places of the pattern; power of two */
    CONNECTIONS_MAX = 100000,
    SIZE_MAX_BYTES = 1 << 26,
    DURATION_MAX_S = 600,
    REQUESTS_MAX = 1000000000,
};

static struct {
    const char *mode, *host;
    const char *certificate; /* for TLS: a file with the server's certificate */
    bool resume;             /* for TLS: resume sessions */
    long port, connections, size, requests;
    double warmup_s, duration_s;
} options = {.connections = 100, .size = 64, .warmup_s = 0.5, .duration_s = 2};

static inline _Noreturn void die(const char *format, ...)
{
    int error = errno;
    va_list arguments;

    va_start(arguments, format);
    fputs("load: ", stderr);
    vfprintf(stderr, format, arguments);
    va_end(arguments);
    fprintf(stderr, "%s%s\n", error ? ": " : "", error ? strerror(error) : "");
    exit(1);
}

static inline uint64_t now_ns(clockid_t clock)
{
    struct timespec now;

    clock_gettime(clock, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

/* Makes a pattern without a short period, so that bytes of another message or connection do not match. */
static inline char *make_pattern(size_t size)
{
    char *pattern = malloc(size + PATTERN_PERIOD);
    uint32_t state = 2463534242u;

    if (!pattern)
        die("malloc");
    for (size_t i = 0; i < size + PATTERN_PERIOD; i++) {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        pattern[i] = (char)state;
    }
    return pattern;
}

/* Returns where the message number `sequence` of client `number` begins in the pattern. */
static inline size_t pattern_offset(size_t number, uint32_t sequence)
{
    return (number * 31 + sequence * 7) & (PATTERN_PERIOD - 1);
}

static inline struct sockaddr_in server_address(void)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)options.port)};

    errno = 0;
    if (inet_pton(AF_INET, options.host, &address.sin_addr) != 1)
        die("not an IPv4 address: %s", options.host);
    if (ntohl(address.sin_addr.s_addr) >> 24 != 127)
        die("not a loopback address: %s", options.host);
    return address;
}

/* Waits for a line, which begins a measurement: "go", or "go SECONDS" for one of another length than --duration-s.
   Returns false if stdin has ended. */
static inline bool await_line(void)
{
    char line[64];

    fflush(stdout);
    if (fgets(line, sizeof line, stdin)) {
        double seconds;
        if (sscanf(line, "go %lf", &seconds) == 1) {
            options.duration_s = seconds;
            options.requests = 0;
        }
        return true;
    }
    if (ferror(stdin))
        die("stdin");
    return false;
}

/* Prints that the warm-up is over, and waits until the harness has read the server's CPU time. */
static inline void await_go(void)
{
    puts("warm");
    await_line();
}

static inline double number(const char *name, const char *text, double least, double most)
{
    char *rest;
    double value = strtod(text, &rest);

    errno = 0;
    if (*text == '\0' || *rest != '\0' || !(value >= least && value <= most))
        die("%s: not a number from %g to %g: %s", name, least, most, text);
    return value;
}

static inline void read_options(int argc, char **argv, const char *modes)
{
    static const struct option names[] = {
        {"connections", required_argument, NULL, 'c'}, {"size", required_argument, NULL, 's'},
        {"warmup-s", required_argument, NULL, 'w'},    {"duration-s", required_argument, NULL, 'd'},
        {"requests", required_argument, NULL, 'r'},    {"certificate", required_argument, NULL, 'k'},
        {"resume", no_argument, NULL, 'm'},            {0},
    };
    int name, index = 0;

    while ((name = getopt_long(argc, argv, "", names, &index)) != -1) {
        switch (name) {
        case 'c': options.connections = (long)number("connections", optarg, 1, CONNECTIONS_MAX); break;
        case 's': options.size = (long)number("size", optarg, 1, SIZE_MAX_BYTES); break;
        case 'w': options.warmup_s = number("warmup-s", optarg, 0, DURATION_MAX_S); break;
        case 'd': options.duration_s = number("duration-s", optarg, 0, DURATION_MAX_S); break;
        case 'r': options.requests = (long)number("requests", optarg, 1, REQUESTS_MAX); break;
        case 'k': options.certificate = optarg; break;
        case 'm': options.resume = true; break;
        default: exit(2);
        }
    }
    if (argc - optind != 3) {
        fprintf(stderr, "usage: %s %s HOST PORT [options]\n", argv[0], modes);
        exit(2);
    }
    options.mode = argv[optind];
    options.host = argv[optind + 1];
    options.port = (long)number("port", argv[optind + 2], 1, 65535);
}
