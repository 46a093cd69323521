# The clients that the integration tests and the benchmarks run: leaky ones and clean ones. Included by the top Makefile, which
# gives CC, CFLAGS_TEST and BUILD and builds $(PROGRAMS).

PROGRAM_OUT = $(BUILD)/tests/programs
PROGRAM_LINK = $(CC) $(CFLAGS_TEST)

# One source file, one program; LIBS_name is what it links with.
PROGRAM_SOURCES := $(sort $(wildcard tests/programs/*.c))
PROGRAMS := $(patsubst tests/programs/%.c,$(PROGRAM_OUT)/%,$(PROGRAM_SOURCES))
LIBS_curl_multi = -lcurl
LIBS_gnutls_unread = -lgnutls
LIBS_rawleak = -lssl -lcrypto
LIBS_tls_bio = -lssl -lcrypto
LIBS_tls_gnutls = -lgnutls
LIBS_tls_steps = -lssl -lcrypto

-include $(wildcard $(PROGRAM_OUT)/*.d)

$(PROGRAM_OUT)/%: tests/programs/%.c tests/programs/programs.mk
	@mkdir -p $(@D)
	$(PROGRAM_LINK) -MF $@.d -o $@ $< -pthread $(LIBS_$*)

# The four cases: a client library of its own, plain and with annotations.
FOURCASES_SOURCES := $(sort $(wildcard tests/programs/fourcases/*.c))
FOURCASES_HEADERS := $(sort $(wildcard tests/programs/fourcases/*.h))
PROGRAMS += $(PROGRAM_OUT)/fourcases $(PROGRAM_OUT)/fourcases-annotated

$(PROGRAM_OUT)/fourcases-annotated: FOURCASES_FLAGS = -DANNOTATE=1
$(PROGRAM_OUT)/fourcases-annotated: include/httpleak/client.h
$(PROGRAM_OUT)/fourcases $(PROGRAM_OUT)/fourcases-annotated: $(FOURCASES_SOURCES) $(FOURCASES_HEADERS) tests/programs/programs.mk
	@mkdir -p $(@D)
	$(CC) $(filter-out -MMD -MP,$(CFLAGS_TEST)) $(FOURCASES_FLAGS) -o $@ $(FOURCASES_SOURCES) -pthread -lssl -lcrypto

# As distributions build: with checked variants of read, recv and poll.
PROGRAMS += $(PROGRAM_OUT)/io_kinds-fortified
$(PROGRAM_OUT)/io_kinds-fortified: tests/programs/io_kinds.c tests/programs/raw.h tests/programs/programs.mk
	@mkdir -p $(@D)
	$(CC) $(filter-out -MMD -MP -O1,$(CFLAGS_TEST)) -O2 -D_FORTIFY_SOURCE=2 -o $@ $<
