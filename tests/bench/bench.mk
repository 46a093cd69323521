# What make bench builds besides the two programs.
BENCH_PROGRAMS = $(BUILD)/tests/bench/micro

$(BUILD)/tests/bench/micro: tests/bench/micro.c Makefile
	@mkdir -p $(@D)
	$(call Q,cc  ) $(CC) -std=gnu17 -D_GNU_SOURCE -O2 -Wall -Wextra -Werror -o $@ $<
