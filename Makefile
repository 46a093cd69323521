# Builds build/libhttpleak.so (the recorder) and build/httpleak (the analyzer); `make help` lists the rest.

BUILD ?= build
CC = gcc
PREFIX ?= /usr/local
DESTDIR ?=
.DEFAULT_GOAL := all
.DELETE_ON_ERROR:
.SUFFIXES:
MAKEFLAGS += --no-builtin-rules

# ---- what the build needs ------------------------------------------------------------------------------------------------
# config.mk is made once: installs what is missing, finds or builds the private libunwind. Without that one (no network, no
# source package) the recorder takes its stacks with libgcc: slower, never wrong. `make deps` tries again.

ifneq ($(filter-out clean format help deps,$(or $(MAKECMDGOALS),all)),)
include $(BUILD)/config.mk
ifneq ($(LIBUNWIND),$(LIBUNWIND_FOUND:/lib/libunwind.a=))
$(shell rm -f $(BUILD)/config.mk)
$(error the private libunwind has gone from its cache: run make again)
endif
endif

$(BUILD)/config.mk: .ci/deps .ci/libunwind .ci/libunwind-shim.c
	@mkdir -p $(@D)
	@.ci/deps build
	@dir=$$(CC="$(CC)" .ci/libunwind build) || dir=; \
	[ -n "$$dir" ] || echo 'no private libunwind: stacks are taken with libgcc (slower); make deps tries again' >&2; \
	{ echo "LIBUNWIND := $$dir"; \
	  echo "LIBUNWIND_FOUND = \$$(wildcard \$$(LIBUNWIND)/lib/libunwind.a)"; \
	  echo "ANALYZER_CFLAGS := $$(pkg-config --cflags libdw jansson)"; \
	  echo "ANALYZER_LIBS := $$(pkg-config --libs libdw jansson) -lm"; } >$@.new
	@mv $@.new $@

# `make V=1` shows the commands.
ifneq ($(V),1)
Q = @echo "  $(1) $@" &&
endif

# ---- flags ---------------------------------------------------------------------------------------------------------------
# SANITIZE=address,undefined or thread builds everything with it (make asan, make tsan use build directories of their own).

WARN = -Wall -Wextra -Werror
# (-Wno-format-truncation: gcc takes UBSan's own null checks for null formats.)
COMMON = -std=gnu17 -D_GNU_SOURCE -g $(WARN) -MMD -MP -Iinclude $(if $(SANITIZE),-fsanitize=$(SANITIZE) -fno-omit-frame-pointer \
    -Wno-format-truncation) \
    $(if $(findstring thread,$(SANITIZE)),-Wno-tsan) # it says that it knows no fences
LDSAN = $(if $(SANITIZE),-fsanitize=$(SANITIZE))

# The recorder lives in other people's processes: nothing exported but what the table says, thread-locals that always fit, and
# no helper of a particular libc (no fortify, no stack protector), so that it needs libc.so.6 alone and loads under musl too.
HAVE_LIBUNWIND = $(if $(LIBUNWIND_FOUND),1,0)
PRELOAD_CFLAGS = $(COMMON) -O2 -fPIC -fvisibility=hidden -ftls-model=initial-exec -fno-semantic-interposition \
    -ffunction-sections -fdata-sections -fno-stack-protector -U_FORTIFY_SOURCE -Ipreload \
    -DHAVE_PRIVATE_LIBUNWIND=$(HAVE_LIBUNWIND) $(if $(LIBUNWIND_FOUND),-isystem $(LIBUNWIND)/include)
PRELOAD_LDFLAGS = -shared -static-libgcc -Wl,-soname,libhttpleak.so -Wl,--version-script=$(BUILD)/obj/exports.map \
    -Wl,--exclude-libs,ALL -Wl,--wrap=dl_iterate_phdr -Wl,--gc-sections -Wl,--as-needed -Wl,--hash-style=gnu -Wl,-z,now \
    -Wl,-z,noexecstack -Wl,-z,text -Wl,-z,defs -Wl,-Map=$(BUILD)/obj/libhttpleak.map $(PRELOAD_LAYOUT)
# (-T with INSERT adds to the linker's own script.)
PRELOAD_LDFLAGS += -Wl,-T,preload/layout.ld
# Every process pays for mapping this: two segments instead of five, the small variables on one page, and none of the compiler's
# start files (30 us of 80). Without RELRO, because the table of real functions has to be writable anyway.
PRELOAD_LAYOUT = -nostartfiles -Wl,-z,noseparate-code -Wl,-z,norelro -Wl,--sort-section=alignment
PRELOAD_LIBS = $(if $(LIBUNWIND_FOUND),$(LIBUNWIND)/lib/libunwind.a,-lgcc_eh)

# What goes into statically linked programs (see docs/architecture.md): no libc, no loader, no thread-locals, no vector
# registers, never a sanitizer. Go's own handlers live by the same rules in dynamic programs too.
ALONE_CFLAGS = -mgeneral-regs-only -fno-builtin -fcf-protection=none -fno-asynchronous-unwind-tables
ALONE_FLAGS = $(filter-out -fsanitize=%,$(PRELOAD_CFLAGS)) $(ALONE_CFLAGS)
ALONE_LDFLAGS = -shared -nostdlib -Wl,-e,alone_entry -Wl,-Bsymbolic -Wl,--version-script=preload/alone/none.map -Wl,-z,defs \
    -Wl,-z,norelro -Wl,-z,noexecstack -Wl,-z,text -Wl,-z,separate-code -Wl,-z,max-page-size=4096 -Wl,--gc-sections \
    -Wl,--build-id=none -Wl,--hash-style=gnu

# What may run inside a Go program's goroutines, or in a program without libc: no SSE, and the calls of libc's memory functions,
# the compiler's own ones included, lead to record/memory.c. The launcher's blob is linked from the same objects.
INSIDE_CFLAGS = $(if $(SANITIZE),,-mgeneral-regs-only $(if $(findstring clang,$(CC)),,-fno-tree-loop-distribute-patterns))
INSIDE_NAMES = memcpy memmove memset memcmp memchr memrchr strlen strnlen strchr strrchr strcmp strncmp
INSIDE_RENAME = $(if $(SANITIZE),,objcopy $(foreach name,$(INSIDE_NAMES),--redefine-sym $(name)=own_$(name)) $@)
# What the rest of the recorder calls seldom is had there, too: each name that the loader need not look up is a third of a
# microsecond less in the start of every process.
SELDOM_NAMES = memrchr strnlen strchr strrchr strcmp strncmp
SELDOM_RENAME = $(if $(SANITIZE),,objcopy $(foreach name,$(SELDOM_NAMES),--redefine-sym $(name)=own_$(name)) $@)

HARDEN = $(if $(SANITIZE),,-fstack-protector-strong -D_FORTIFY_SOURCE=2) -fPIE
ANALYZER_FLAGS = $(COMMON) -O2 $(HARDEN) -Ianalyzer $(ANALYZER_CFLAGS)
ANALYZER_LDFLAGS = $(LDSAN) -pie -Wl,--as-needed -Wl,-z,relro,-z,now

# For tests/programs/programs.mk and the unit tests.
CFLAGS_TEST = -std=gnu17 -D_GNU_SOURCE -g -O1 -fno-omit-frame-pointer $(WARN) -MMD -MP -Iinclude
CFLAGS_UNIT = $(COMMON) -O1 -Ipreload -Ianalyzer -I. -DHAVE_PRIVATE_LIBUNWIND=$(HAVE_LIBUNWIND) \
    $(if $(LIBUNWIND_FOUND),-isystem $(LIBUNWIND)/include) $(ANALYZER_CFLAGS)

# ---- sources -------------------------------------------------------------------------------------------------------------

find_sources = $(sort $(shell find $(1) -name '*.[cS]' 2>/dev/null))
object = $(patsubst %,$(BUILD)/obj/%.o,$(basename $(1)))

ALONE_ONLY := $(call find_sources,preload/alone)
ALONE_RECORD = clock intern interpreter/frame journal module_table options path slot summary sys text trace trace_file trace_region
ALONE_SOURCES := $(ALONE_ONLY) $(call find_sources,preload/golang preload/patch) \
    $(sort $(wildcard preload/track/managed*.c)) preload/track/timer.c $(ALONE_RECORD:%=preload/record/%.c)
ALONE_OBJECTS := $(patsubst preload/%,$(BUILD)/obj/alone/%.o,$(basename $(ALONE_SOURCES)))
PRELOAD_SOURCES := $(filter-out $(ALONE_ONLY),$(call find_sources,preload))
ANALYZER_SOURCES := $(call find_sources,analyzer)
PRELOAD_OBJECTS := $(call object,$(PRELOAD_SOURCES))
ANALYZER_OBJECTS := $(call object,$(ANALYZER_SOURCES))
INSIDE_SOURCES := $(patsubst %,preload/record/%.c,clock intern interpreter/frame journal memory module_table options path slot summary sys text trace \
    trace_file trace_region) $(call find_sources,preload/golang preload/patch) preload/track/timer.c $(sort $(wildcard preload/track/managed*.c))
INSIDE_OBJECTS := $(call object,$(INSIDE_SOURCES))
RECORDER_ARCHIVED := $(filter-out $(BUILD)/obj/preload/interpose/%,$(PRELOAD_OBJECTS))
ANALYZER_ARCHIVED := $(filter-out $(BUILD)/obj/analyzer/main.o,$(ANALYZER_OBJECTS))
UNIT_SOURCES := $(sort $(wildcard tests/unit/test_*.c))
UNIT_HELPERS := $(call object,$(filter-out $(UNIT_SOURCES),$(sort $(wildcard tests/unit/*.c))))
UNIT_TESTS := $(patsubst tests/unit/%.c,$(BUILD)/tests/unit/%,$(UNIT_SOURCES))
HPACK_OBJECTS := $(BUILD)/obj/hpack_inflate.o $(BUILD)/obj/hpack_words.o
NAMES = $(wildcard preload/interpose/names.def)
EXTRA_EXPORTS = $(wildcard preload/interpose/exports.map)

.PHONY: all deps programs unit check check-all lint asan tsan bench fuzz fuzz-programs soak demo install clean help format

all: $(BUILD)/libhttpleak.so $(BUILD)/httpleak $(BUILD)/obj/inside.o

# ---- the two programs ----------------------------------------------------------------------------------------------------

# A preload exports exactly the names of the interposition table and the annotation API.
$(BUILD)/obj/exports.list: $(NAMES) $(EXTRA_EXPORTS) Makefile
	@mkdir -p $(@D)
	@{ { echo '#define NAME(symbol, ...) @@ symbol;'; cat $(NAMES) /dev/null; } | \
	    $(CC) -E -P -std=c17 -x c -Iinclude -Ipreload - | sed -n 's/;/;\n/gp' | sed -n 's/^ *@@ \([A-Za-z0-9_]*\);.*/\1/p'; \
	  cat $(EXTRA_EXPORTS) /dev/null | sed 's/#.*//; s|/\*.*\*/||' | grep -o '\<httpleak_[a-z0-9_]*' || :; } | sort -u >$@

$(BUILD)/obj/exports.map: $(BUILD)/obj/exports.list
	@{ echo '{'; sed '1s/^/global: /; s/$$/;/' $<; echo 'local: *; };'; } >$@

$(BUILD)/libhttpleak.so: $(PRELOAD_OBJECTS) $(HPACK_OBJECTS) $(BUILD)/obj/exports.map preload/layout.ld
	$(call Q,link) $(CC) $(PRELOAD_LDFLAGS) -o $@.new $(PRELOAD_OBJECTS) $(HPACK_OBJECTS) $(PRELOAD_LIBS)
	@mv $@.new $@

# The image for static programs: linked like a library that needs nothing, then carried by the command without its symbols.
$(BUILD)/obj/alone.so: $(ALONE_OBJECTS) preload/alone/none.map Makefile
	$(call Q,link) $(CC) $(ALONE_LDFLAGS) -o $@.new $(ALONE_OBJECTS)
	@mv $@.new $@

$(BUILD)/obj/alone.image: $(BUILD)/obj/alone.so
	@objcopy --strip-all --remove-section=.comment $< $@

$(BUILD)/httpleak: $(ANALYZER_OBJECTS)
	$(call Q,link) $(CC) $(ANALYZER_LDFLAGS) -o $@.new $^ $(ANALYZER_LIBS)
	@mv $@.new $@

# What runs inside goroutines, and in the blob for static programs: no libc, no vector registers, no thread-locals.
BARE = -ffreestanding -fno-builtin -mgeneral-regs-only $(if $(findstring clang,$(CC)),,-fno-tree-loop-distribute-patterns)
$(BUILD)/obj/preload/golang/%.o $(BUILD)/obj/preload/patch/%.o $(BUILD)/obj/preload/track/timer.o: PRELOAD_CFLAGS += $(BARE)

$(BUILD)/obj/preload/%.o: preload/%.c Makefile $(BUILD)/config.mk
	@mkdir -p $(@D)
	$(call Q,cc  ) $(CC) $(PRELOAD_CFLAGS) $(EXTRA_CFLAGS) -c $< -o $@
	$(if $(EXTRA_STEP),@$(EXTRA_STEP))
$(INSIDE_OBJECTS): EXTRA_CFLAGS = $(INSIDE_CFLAGS)
$(INSIDE_OBJECTS): EXTRA_STEP = $(INSIDE_RENAME)
$(filter-out $(INSIDE_OBJECTS),$(PRELOAD_OBJECTS)): EXTRA_STEP = $(SELDOM_RENAME)

$(BUILD)/obj/preload/%.o: preload/%.S Makefile $(BUILD)/config.mk
	@mkdir -p $(@D)
	$(call Q,cc  ) $(CC) $(PRELOAD_CFLAGS) -c $< -o $@

$(BUILD)/obj/alone/%.o: preload/%.c Makefile $(BUILD)/config.mk
	@mkdir -p $(@D)
	$(call Q,cc  ) $(CC) $(ALONE_FLAGS) -c $< -o $@

$(BUILD)/obj/alone/%.o: preload/%.S Makefile $(BUILD)/config.mk
	@mkdir -p $(@D)
	$(call Q,cc  ) $(CC) $(ALONE_FLAGS) -c $< -o $@

$(BUILD)/obj/analyzer/launch/blob_bytes.o: analyzer/launch/blob_bytes.S $(BUILD)/obj/alone.image
	@mkdir -p $(@D)
	$(call Q,cc  ) $(CC) $(ANALYZER_FLAGS) -DBLOB_FILE='"$(BUILD)/obj/alone.image"' -c $< -o $@

$(BUILD)/obj/analyzer/%.o: analyzer/%.c Makefile $(BUILD)/config.mk
	@mkdir -p $(@D)
	$(call Q,cc  ) $(CC) $(ANALYZER_FLAGS) -c $< -o $@

# HPACK, out of nghttp2's static archive.
$(BUILD)/obj/hpack-tool: .ci/hpack.c
	@mkdir -p $(@D)
	@$(CC) -std=gnu17 -O1 $(WARN) -o $@ $<

$(BUILD)/obj/hpack_inflate.o: $(BUILD)/obj/hpack-tool .ci/hpack $(BUILD)/config.mk
	$(call Q,take) .ci/hpack $(BUILD)/obj/hpack-tool $@ $(BUILD)/obj/hpack_words.c

$(BUILD)/obj/hpack_words.o: $(BUILD)/obj/hpack_inflate.o
	@$(CC) $(PRELOAD_CFLAGS) -c $(BUILD)/obj/hpack_words.c -o $@

# All of them as one object, in which nothing may be missing.
$(BUILD)/obj/inside.o: $(INSIDE_OBJECTS)
	$(call Q,link) ld -r -o $@ $^

$(BUILD)/obj/recorder.a: $(RECORDER_ARCHIVED) $(HPACK_OBJECTS)
	@rm -f $@; ar rcs $@ $^

$(BUILD)/obj/analyzer.a: $(ANALYZER_ARCHIVED)
	@rm -f $@; ar rcs $@ $^

# ---- tests ---------------------------------------------------------------------------------------------------------------

$(BUILD)/obj/tests/unit/%.o: tests/unit/%.c Makefile $(BUILD)/config.mk
	@mkdir -p $(@D)
	$(call Q,cc  ) $(CC) $(CFLAGS_UNIT) -c $< -o $@

# Looks for V8 among what the program exports.
$(BUILD)/tests/unit/test_asker: UNIT_EXPORTS = -Wl,--export-dynamic-symbol='_ZN*2v8*'

$(UNIT_TESTS): $(BUILD)/tests/unit/%: $(BUILD)/obj/tests/unit/%.o $(UNIT_HELPERS) $(BUILD)/obj/recorder.a $(BUILD)/obj/analyzer.a
	@mkdir -p $(@D)
	$(call Q,link) $(CC) $(LDSAN) $(UNIT_EXPORTS) -o $@ $^ $(PRELOAD_LIBS) $(ANALYZER_LIBS) -Wl,--as-needed $$(pkg-config --libs check) -lhttp_parser -lnghttp2

unit: $(UNIT_TESTS)

-include tests/programs/programs.mk tests/bench/bench.mk
programs: $(PROGRAMS)

# Go's toolchains: the oldest and the newest for check, all for check-all; a test that misses one says so.
# The test targets build in parallel unless -j was given.
BUILD_ALL = $(MAKE) --no-print-directory $(if $(findstring -j,$(MAKEFLAGS)),,-j$(shell nproc))
TEST_ENV = BUILD=$(abspath $(BUILD)) CC="$(CC)"

check: deps-test
	@.ci/go ends >/dev/null || :
	@$(BUILD_ALL) all unit programs
	@$(TEST_ENV) tests/integration/golang.py ends
	@$(TEST_ENV) tests/run --results $(BUILD)/check.tap

# The unit tests again under the sanitizers, each in a build of its own, and everything that takes long. What does not fit into
# the time that continuous integration has is skipped by name: `make check-all CHECK_ALL_SECONDS=inf` leaves out nothing.
# The compiler for Go's builds works beside the tests. AFTER_CHECK=1 leaves out what make check has just shown.
CHECK_ALL_SECONDS = 2040
AFTER_CHECK =
check-all: deps-lint
	@.ci/go all >/dev/null || :
	@.ci/aside machine node >/dev/null || :
	@$(BUILD_ALL) all unit programs
	@$(BUILD_ALL) $(ASAN_BUILD) unit
	@$(BUILD_ALL) $(TSAN_BUILD) unit
	@$(TEST_ENV) $(SANITIZER_ENV) FUZZ_SECONDS=30 tests/run --long $(if $(AFTER_CHECK),--after-check) --seconds $(CHECK_ALL_SECONDS) --results $(BUILD)/check-all.tap \
	    --beside "tests/integration/golang.py all" --units asan=$(BUILD)/asan --units tsan=$(BUILD)/tsan \
	    --command "lint=$(MAKE) --no-print-directory lint" --command "fuzz=$(MAKE) --no-print-directory fuzz"

ASAN_BUILD = BUILD=$(BUILD)/asan SANITIZE=address,undefined
# libunwind frees its cache in the last round of thread destructors, when ThreadSanitizer's own thread is gone already.
TSAN_BUILD = BUILD=$(BUILD)/tsan SANITIZE=thread LIBUNWIND=
SANITIZER_ENV = ASAN_OPTIONS=detect_leaks=1 UBSAN_OPTIONS=halt_on_error=1:print_stacktrace=1 TSAN_OPTIONS=halt_on_error=1

asan: deps-test
	@$(BUILD_ALL) $(ASAN_BUILD) unit
	@BUILD=$(abspath $(BUILD))/asan $(SANITIZER_ENV) tests/run --unit-only

tsan: deps-test
	@$(BUILD_ALL) $(TSAN_BUILD) unit
	@BUILD=$(abspath $(BUILD))/tsan $(SANITIZER_ENV) tests/run --unit-only

deps-%:
	@.ci/deps $*
.PHONY: deps-test deps-lint

lint: deps-lint $(BUILD)/config.mk
	@LINT_FLAGS="$(filter-out -MMD -MP -Werror,$(CFLAGS_UNIT))" .ci/lint

# libFuzzer is clang's: everything again, with its coverage and the sanitizers in it.
FUZZ_PROGRAMS = $(patsubst tests/fuzz/%.c,$(BUILD)/tests/fuzz/%,$(wildcard tests/fuzz/fuzz_*.c))
fuzz-programs: $(FUZZ_PROGRAMS)
$(BUILD)/tests/fuzz/%: tests/fuzz/%.c $(BUILD)/obj/recorder.a $(BUILD)/obj/analyzer.a
	@mkdir -p $(@D)
	$(call Q,link) $(CC) $(CFLAGS_UNIT) -fsanitize=fuzzer,address,undefined -o $@ $(filter %.c %.a,$^) $(PRELOAD_LIBS) $(ANALYZER_LIBS)

fuzz: deps-lint $(BUILD)/config.mk
	@mkdir -p $(BUILD)/fuzz && cp $(BUILD)/config.mk $(BUILD)/fuzz/
	@$(BUILD_ALL) BUILD=$(BUILD)/fuzz CC=clang SANITIZE=address,undefined,fuzzer-no-link WARN= fuzz-programs
	@$(TEST_ENV) tests/fuzz/run

bench: deps-test
	@$(BUILD_ALL) all programs $(BENCH_PROGRAMS)
	@$(TEST_ENV) tests/bench/run

soak: deps-test
	@$(BUILD_ALL) all programs
	@$(TEST_ENV) tests/integration/soak.py

demo: deps-test
	@$(BUILD_ALL) all programs >/dev/null
	@$(TEST_ENV) tests/integration/demo.py

# ---- the rest ------------------------------------------------------------------------------------------------------------

deps:
	@.ci/deps all
	@rm -f $(BUILD)/config.mk

# The command looks for the recorder in ../lib/httpleak from where it is itself, then beside itself.
install: all
	install -d $(DESTDIR)$(PREFIX)/bin $(DESTDIR)$(PREFIX)/lib/httpleak $(DESTDIR)$(PREFIX)/include/httpleak
	install -m 755 $(BUILD)/httpleak $(DESTDIR)$(PREFIX)/bin/httpleak
	install -m 644 $(BUILD)/libhttpleak.so $(DESTDIR)$(PREFIX)/lib/httpleak/libhttpleak.so
	install -m 644 include/httpleak/client.h $(DESTDIR)$(PREFIX)/include/httpleak/client.h
	$(if $(LIBUNWIND_FOUND),install -m 644 $(LIBUNWIND)/COPYING $(DESTDIR)$(PREFIX)/lib/httpleak/libunwind.COPYING)

format:
	clang-format -i $$(find include preload analyzer tests .ci -name '*.[ch]')

clean:
	rm -rf $(BUILD)

help:
	@echo 'make            build/libhttpleak.so and build/httpleak'
	@echo 'make demo       the four ways to treat five responses, and the report of the first'
	@echo 'make check      unit and integration tests, a few minutes'
	@echo 'make check-all  the long ones too: sanitizers, fuzzing, lint, 200 kills'
	@echo 'make bench      what it costs, against the bare program and its neighbours'
	@echo 'make lint       clang-tidy and cppcheck; make format is clang-format'
	@echo 'make asan tsan fuzz soak'
	@echo 'make deps       install what is missing, build the private libunwind'
	@echo 'make install    PREFIX=/usr/local DESTDIR='
	@echo 'BUILD=DIR puts everything elsewhere; CC=..., SANITIZE=address,undefined as usual'

-include $(shell find $(BUILD)/obj $(BUILD)/tests -name '*.d' 2>/dev/null)
