# What make bench builds besides the two programs.
BENCH_PROGRAMS = $(BUILD)/tests/bench/micro $(BUILD)/tests/bench/bench_http1 $(BUILD)/tests/bench/bench_http2

$(BUILD)/tests/bench/micro: tests/bench/micro.c Makefile
	@mkdir -p $(@D)
	$(call Q,cc  ) $(CC) -std=gnu17 -D_GNU_SOURCE -O2 -Wall -Wextra -Werror -o $@ $<

# The framing as the recorder has it: its own objects, and what they have in place of libc's functions.
BENCH_MEMORY = $(BUILD)/obj/preload/record/memory.o
$(BUILD)/tests/bench/bench_http1: tests/bench/bench_http1.c $(filter $(BUILD)/obj/preload/http/http1%,$(PRELOAD_OBJECTS)) $(BENCH_MEMORY) Makefile
	@mkdir -p $(@D)
	$(call Q,cc  ) $(CC) -std=gnu17 -D_GNU_SOURCE -O2 -Wall -Wextra -Werror -Ipreload -o $@ $(filter %.c %.o,$^)

$(BUILD)/tests/bench/bench_http2: tests/bench/bench_http2.c $(filter $(BUILD)/obj/preload/http/%,$(PRELOAD_OBJECTS)) $(HPACK_OBJECTS) $(BENCH_MEMORY) Makefile
	@mkdir -p $(@D)
	$(call Q,cc  ) $(CC) -std=gnu17 -D_GNU_SOURCE -O2 -Wall -Wextra -Werror -Ipreload -o $@ $(filter %.c %.o,$^)
