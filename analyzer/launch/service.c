/* A listening thread, and one for each process that is held at the moment. */
#include "launch/service.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "httpleak/launcher.h"
#include "launch/go_program.h"
#include "launch/inject.h"

enum {
    SERVICE_BACKLOG = 64,
    SERVICE_NOTES = 64,       /* what is beyond says nothing new */
    SERVICE_PATIENCE_S = 1,   /* for a request to come over a connection */
    SERVICE_LAST_S = 5,       /* at the end, for a process that is held to come to its exec */
    SERVICE_STACK = 256 << 10 /* bytes, a thread */
};

struct service {
    int listener, stop; /* stop: an eventfd */
    pthread_t thread;
    pthread_mutex_t lock; /* of what follows */
    pthread_cond_t idle;
    unsigned served;
    struct service_note {
        char *text;
        char program[sizeof((struct launcher_request *)0)->program];
        char why[sizeof((struct inject *)0)->why];
    } notes[SERVICE_NOTES];
    size_t note_count;
};

struct service_client {
    struct service *service;
    int socket;
};

/* Once for each program and reason, with who started it first. */
static void service_note(struct service *s, const struct launcher_request *r, pid_t pid,
                         const char *why) {
    char *text = NULL;
    pthread_mutex_lock(&s->lock);
    bool known = s->note_count == SERVICE_NOTES;
    for (size_t i = 0; i < s->note_count && !known; i++)
        known = strcmp(s->notes[i].program, r->program) == 0 && strcmp(s->notes[i].why, why) == 0;
    if (!known &&
        asprintf(&text, "%s (static, %s), started by %s pid %d, cannot be reached: %s", r->program,
                 *r->go_version ? r->go_version : "Go", r->starter, (int)pid, why) >= 0) {
        for (char *c = text; *c; c++)
            if ((unsigned char)*c < ' ') *c = '?';
        struct service_note *note = &s->notes[s->note_count++];
        note->text = text;
        snprintf(note->program, sizeof note->program, "%s", r->program);
        snprintf(note->why, sizeof note->why, "%s", why);
    }
    pthread_mutex_unlock(&s->lock);
}

/* Whether it is this process's own child: then its end belongs to whoever started it. */
static pid_t service_parent_of(pid_t pid) {
    char path[64], text[1024];
    int parent = 0;
    snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
    FILE *in = fopen(path, "re");
    size_t n = in ? fread(text, 1, sizeof text - 1, in) : 0;
    if (in) fclose(in);
    text[n] = '\0';
    const char *end = strrchr(text, ')');
    return end && sscanf(end + 1, " %*c %d", &parent) == 1 ? parent : 0;
}

/* The request, whole and terminated, and who it is that asks. */
static bool service_request(int socket, struct launcher_request *r, struct ucred *who) {
    const struct timeval patience = {.tv_sec = SERVICE_PATIENCE_S};
    socklen_t size = sizeof *who;
    setsockopt(socket, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    if (getsockopt(socket, SOL_SOCKET, SO_PEERCRED, who, &size) != 0 || who->pid <= 0) return false;
    if (recv(socket, r, sizeof *r, 0) != (ssize_t)sizeof *r || r->version != LAUNCHER_VERSION)
        return false;
    r->go_version[sizeof r->go_version - 1] = '\0';
    r->starter[sizeof r->starter - 1] = '\0';
    r->program[sizeof r->program - 1] = '\0';
    return r->kind == LAUNCHER_EXEC || r->kind == LAUNCHER_SPAWN;
}

static void service_answer(int socket, char answer) {
    while (send(socket, &answer, 1, MSG_NOSIGNAL) < 0 && errno == EINTR) {
    }
}

/* Holds it at a stop, from which it goes to its next system call; 0, or errno. */
static int service_hold(struct tracee *t, pid_t pid, bool children) {
    const bool keep = service_parent_of(pid) == getpid();
    if (!tracee_seize(t, pid, children)) return errno;
    t->keep = keep;
    if (!tracee_interrupt(t)) return errno;
    for (;;) {
        int signal = 0;
        switch (tracee_wait(t)) {
        case TRACEE_TRAP: return tracee_to_syscall(t, 0) ? 0 : errno;
        case TRACEE_SIGNAL: signal = t->signal; break;
        case TRACEE_GROUP:
            if (!tracee_listen(t)) return errno;
            continue;
        case TRACEE_ENDED:
        case TRACEE_LOST: return ESRCH;
        case TRACEE_EXEC:
        case TRACEE_CHILD:
        case TRACEE_SYSCALL: break;
        }
        if (!tracee_continue(t, signal)) return errno;
    }
}

/*
 * A thread that spawns: to the child that it makes, which is held from then on; the thread itself is let go. False: it made
 * none.
 */
static bool service_child(struct tracee *parent, struct tracee *child) {
    for (;;) {
        int signal = 0;
        struct user_regs_struct r;
        switch (tracee_wait(parent)) {
        case TRACEE_CHILD: {
            *child = (struct tracee){0};
            const bool found = tracee_child(parent, &child->pid);
            tracee_detach(parent, 0);
            return found;
        }
        case TRACEE_SYSCALL:
            if (!tracee_registers(parent, &r) || r.orig_rax != SYS_getpid ||
                r.rdi != LAUNCHER_GAVE_UP)
                break;
            tracee_detach(parent, 0);
            return false;
        case TRACEE_SIGNAL: signal = parent->signal; break;
        case TRACEE_GROUP:
            if (!tracee_listen(parent)) return false;
            continue;
        case TRACEE_ENDED:
        case TRACEE_LOST: return false;
        case TRACEE_EXEC:
        case TRACEE_TRAP: break;
        }
        if (!tracee_to_syscall(parent, signal)) return false;
    }
}

static void service_serve(struct service *s, int socket) {
    struct launcher_request request;
    struct ucred who;
    struct tracee tracee, child;
    if (!service_request(socket, &request, &who)) return;
    const bool spawn = request.kind == LAUNCHER_SPAWN;
    /* A thread's number means something here only if the process's own does. */
    const bool same_numbers = (pid_t)request.pid == who.pid;
    pid_t held = who.pid;
    int error = 0;
    if (spawn && same_numbers)
        held = (pid_t)request.tid;
    else if (spawn || request.pid != request.tid)
        error = ENOTSUP;
    if (!error) error = service_hold(&tracee, held, spawn);
    if (error) {
        char why[100];
        snprintf(why, sizeof why, "ptrace is refused: %s", strerror(error));
        service_note(s, &request, who.pid, error == ENOTSUP ? "a thread executes it" : why);
        service_answer(socket, LAUNCHER_REFUSES);
        return;
    }
    service_answer(socket, LAUNCHER_HOLDS);
    if (spawn && !service_child(&tracee, &child)) return;
    const struct inject end = inject_at_exec(spawn ? &child : &tracee, !spawn);
    if (end.end == INJECT_FAILED) service_note(s, &request, who.pid, end.why);
    if (end.end != INJECT_NOTHING) return;
    struct go_program go;
    go_program_read(&go, request.program, false);
    if (go.client) service_note(s, &request, who.pid, go_program_lost);
}

static void *service_client(void *argument) {
    struct service_client client = *(struct service_client *)argument;
    free(argument);
    service_serve(client.service, client.socket);
    close(client.socket);
    pthread_mutex_lock(&client.service->lock);
    client.service->served--;
    pthread_cond_signal(&client.service->idle);
    pthread_mutex_unlock(&client.service->lock);
    return NULL;
}

static bool service_thread(pthread_t *thread, void *(*function)(void *), void *argument,
                           bool detached) {
    pthread_attr_t attributes;
    if (pthread_attr_init(&attributes) != 0) return false;
    pthread_attr_setstacksize(&attributes, SERVICE_STACK);
    if (detached) pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
    /* Signals are the command's thread's. */
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_BLOCK, &all, &before);
    const bool made = pthread_create(thread, &attributes, function, argument) == 0;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    pthread_attr_destroy(&attributes);
    return made;
}

static void service_accept(struct service *s, int socket) {
    struct service_client *client = malloc(sizeof *client);
    pthread_t thread;
    if (client) *client = (struct service_client){s, socket};
    pthread_mutex_lock(&s->lock);
    s->served++;
    pthread_mutex_unlock(&s->lock);
    if (client && service_thread(&thread, service_client, client, true)) return;
    free(client);
    close(socket);
    pthread_mutex_lock(&s->lock);
    s->served--;
    pthread_mutex_unlock(&s->lock);
}

static void *service_listen(void *argument) {
    struct service *s = argument;
    struct pollfd ready[] = {{.fd = s->listener, .events = POLLIN},
                             {.fd = s->stop, .events = POLLIN}};
    for (;;) {
        if (poll(ready, 2, -1) < 0) continue;
        if (ready[1].revents) return NULL;
        const int socket = accept4(s->listener, NULL, NULL, SOCK_CLOEXEC);
        if (socket >= 0) service_accept(s, socket);
    }
}

/* A name that nobody else has, nor can guess, in the socket and in the environment. */
static bool service_bind(int listener) {
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    uint64_t random;
    if (getrandom(&random, sizeof random, GRND_NONBLOCK) != (ssize_t)sizeof random) return false;
    const int n = snprintf(address.sun_path + 1, sizeof address.sun_path - 1, "httpleak.%d.%016llx",
                           (int)getpid(), (unsigned long long)random);
    const socklen_t size = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + (size_t)n);
    return bind(listener, (struct sockaddr *)&address, size) == 0 &&
           listen(listener, SERVICE_BACKLOG) == 0 &&
           setenv(LAUNCHER_VARIABLE, address.sun_path + 1, 1) == 0;
}

/*
 * The command may itself ask (a shell that becomes a static program), and its end is waited for by another thread than the one
 * that holds it: only pidfd tells that one of the end without taking the other one's stops away.
 */
static bool service_possible(void) {
#if defined __x86_64__
    const int self = (int)syscall(SYS_pidfd_open, getpid(), 0);
    if (self >= 0) close(self);
    return self >= 0;
#else
    return false;
#endif
}

struct service *service_open(void) {
    struct service *s = service_possible() ? calloc(1, sizeof *s) : NULL;
    if (!s) return NULL;
    pthread_mutex_init(&s->lock, NULL);
    pthread_cond_init(&s->idle, NULL);
    s->stop = eventfd(0, EFD_CLOEXEC);
    s->listener = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
    if (s->stop >= 0 && s->listener >= 0 && service_bind(s->listener) &&
        service_thread(&s->thread, service_listen, s, false))
        return s;
    unsetenv(LAUNCHER_VARIABLE);
    if (s->stop >= 0) close(s->stop);
    if (s->listener >= 0) close(s->listener);
    free(s);
    return NULL;
}

void service_close(struct service *s, void (*note)(void *context, const char *text),
                   void *context) {
    const uint64_t one = 1;
    if (!s) return;
    if (write(s->stop, &one, sizeof one) == (ssize_t)sizeof one) pthread_join(s->thread, NULL);
    close(s->listener);
    struct timespec until;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += SERVICE_LAST_S;
    pthread_mutex_lock(&s->lock);
    int late = 0;
    while (s->served > 0 && !late)
        late = pthread_cond_timedwait(&s->idle, &s->lock, &until);
    pthread_mutex_unlock(&s->lock);
    unsetenv(LAUNCHER_VARIABLE);
    if (late) return; /* somebody stopped a process just there: this program's end lets go of it */
    for (size_t i = 0; i < s->note_count; i++) {
        note(context, s->notes[i].text);
        free(s->notes[i].text);
    }
    close(s->stop);
    pthread_cond_destroy(&s->idle);
    pthread_mutex_destroy(&s->lock);
    free(s);
}
