# The clients that the integration tests and the benchmarks run: leaky ones and clean ones. Included by the top Makefile, which
# gives CC, CFLAGS_TEST and BUILD and builds $(PROGRAMS).

PROGRAM_OUT = $(BUILD)/tests/programs
PROGRAM_LINK = $(CC) $(CFLAGS_TEST)

# One source file, one program; LIBS_name is what it links with.
PROGRAM_SOURCES := $(sort $(wildcard tests/programs/*.c tests/programs/bugs/*.c))
PROGRAMS := $(patsubst tests/programs/%.c,$(PROGRAM_OUT)/%,$(PROGRAM_SOURCES))
LIBS_curl_fetch = -lcurl
LIBS_curl_multi = -lcurl
LIBS_gnutls_unread = -lgnutls
LIBS_bugs/curb_277 = -lcurl
LIBS_bugs/curl_22282 = -lssl -lcrypto
LIBS_bugs/dd_trace_cpp_31 = -lcurl
LIBS_bugs/golang_21229 = -lcurl
LIBS_handles = -lcurl
LIBS_handles_ssl = -lssl -lcrypto
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

# Static ones, as a loader never sees them: at fixed addresses, and relocating itself.
PROGRAMS += $(PROGRAM_OUT)/static_guest-pie
$(PROGRAM_OUT)/static_guest: PROGRAM_LINK += -static -no-pie
$(PROGRAM_OUT)/static_guest-pie: tests/programs/static_guest.c tests/programs/programs.mk
	@mkdir -p $(@D)
	$(CC) $(CFLAGS_TEST) -MF $@.d -fPIE -static-pie -o $@ $<

# The engine for Go with probes that count, as a preload and in a program that maps the executables it is given.
GOLANG_COUNT = tests/programs/golang_count
GOLANG_ENGINE = $(patsubst %,preload/golang/%.c,words program release pclntab inlined module types map install start) \
    preload/golang/stub.S $(wildcard preload/patch/*.c) preload/record/sys.c
GOLANG_COUNT_NEEDS = $(GOLANG_ENGINE) $(wildcard $(GOLANG_COUNT)/*.[ch] $(GOLANG_COUNT)/rows/golang/*.def preload/golang/*.h \
    preload/golang/*.def preload/patch/*.h) tests/programs/programs.mk
GOLANG_COUNT_FLAGS = -std=gnu17 -D_GNU_SOURCE -g -O2 $(WARN) -I$(GOLANG_COUNT)/rows -I$(GOLANG_COUNT) -Ipreload -Iinclude -fvisibility=hidden \
    -fno-stack-protector -U_FORTIFY_SOURCE $(BARE)
PROGRAMS += $(PROGRAM_OUT)/golang_count.so $(PROGRAM_OUT)/golang_map
$(PROGRAM_OUT)/golang_count.so: $(GOLANG_COUNT_NEEDS)
	@mkdir -p $(@D)
	$(CC) $(GOLANG_COUNT_FLAGS) -fPIC -shared -o $@ $(GOLANG_ENGINE) $(patsubst %,$(GOLANG_COUNT)/%.c,probes say count)
$(PROGRAM_OUT)/golang_map: $(GOLANG_COUNT_NEEDS)
	@mkdir -p $(@D)
	$(CC) $(GOLANG_COUNT_FLAGS) -fPIE -pie -o $@ $(GOLANG_ENGINE) $(patsubst %,$(GOLANG_COUNT)/%.c,probes say map)

# As distributions build: with checked variants of read, recv and poll.
PROGRAMS += $(PROGRAM_OUT)/io_kinds-fortified
$(PROGRAM_OUT)/io_kinds-fortified: tests/programs/io_kinds.c tests/programs/raw.h tests/programs/programs.mk
	@mkdir -p $(@D)
	$(CC) $(filter-out -MMD -MP -O1,$(CFLAGS_TEST)) -O2 -D_FORTIFY_SOURCE=2 -o $@ $<

# TLS in the kernel, and what stands for such a kernel; two that do it with a real one.
PROGRAMS += $(PROGRAM_OUT)/kernel_tls $(addprefix $(PROGRAM_OUT)/kernel_tls,.so _keys _granted)
$(PROGRAM_OUT)/kernel_tls: tests/programs/kernel_tls/client.c tests/programs/programs.mk
	@mkdir -p $(@D)
	$(PROGRAM_LINK) -MF $@.d -o $@ $<
$(PROGRAM_OUT)/kernel_tls.so: tests/programs/kernel_tls/kernel.c tests/programs/programs.mk
	@mkdir -p $(@D)
	$(PROGRAM_LINK) -MF $@.d -shared -fPIC -o $@ $<
$(PROGRAM_OUT)/kernel_tls_keys: KERNEL_TLS_LIBS = -lgnutls
$(PROGRAM_OUT)/kernel_tls_granted: KERNEL_TLS_LIBS = -lssl -lcrypto
$(PROGRAM_OUT)/kernel_tls_%: tests/programs/kernel_tls/%.c tests/programs/raw.h tests/programs/programs.mk
	@mkdir -p $(@D)
	$(PROGRAM_LINK) -MF $@.d -o $@ $< $(KERNEL_TLS_LIBS)

# OpenSSL inside the executable: exported as Node does it, known to debuggers only, and not known at all.
CARRIED = $(addprefix $(PROGRAM_OUT)/tls_steps-,exported symbols stripped)
PROGRAMS += $(CARRIED)
$(PROGRAM_OUT)/tls_steps-exported: CARRIED_FLAGS = -rdynamic
$(PROGRAM_OUT)/tls_steps-stripped: CARRIED_FLAGS = -s
$(CARRIED): tests/programs/tls_steps.c tests/programs/raw.h tests/programs/programs.mk
	@mkdir -p $(@D)
	$(CC) $(filter-out -MMD -MP,$(CFLAGS_TEST)) $(CARRIED_FLAGS) -o $@ $< -pthread -l:libssl.a -l:libcrypto.a -ldl
