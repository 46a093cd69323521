/* A plugin that makes an exchange, and loads another library by its bare name, which only its own
 * RUNPATH finds. */
#include <dlfcn.h>

#include "../raw.h"

void plugin_fetch(const char *text);

void plugin_fetch(const char *text) {
    struct raw_url url = raw_parse(text);
    const int fd = raw_connect(&url);
    raw_send(fd, &url);
    size_t had = raw_head(fd);
    if (!raw_drain(fd, 65536 - had)) raw_die("body");
    close(fd);
    if (!dlopen("libbeside.so", RTLD_NOW)) fprintf(stderr, "%s\n", dlerror()), exit(1);
}
