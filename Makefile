# InfiniService. `make help` lists what there is to do.

VERSION := 0.1.0
.DEFAULT_GOAL := all
BUILD ?= build
ifeq ($(origin CC),default)
CC := gcc
endif
PREFIX ?= /usr
SYSCONFDIR ?= /etc
LIBEXECDIR ?= $(PREFIX)/libexec
UNITDIR ?= /lib/systemd/system
UDEVDIR ?= /lib/udev/rules.d
SYSUSERSDIR ?= $(PREFIX)/lib/sysusers.d
MANDIR ?= $(PREFIX)/share/man
DOCDIR ?= $(PREFIX)/share/doc/infiniservice
BASHDIR ?= $(PREFIX)/share/bash-completion/completions
ZSHDIR ?= $(PREFIX)/share/zsh/vendor-completions
FISHDIR ?= $(PREFIX)/share/fish/vendor_completions.d

# SANITIZE=1 builds with ASan and UBSan; COVERAGE=1 counts for gcov; WERROR=1 turns warnings into errors (CI does).
SANITIZE ?=
COVERAGE ?=
WERROR ?=
# V=1 shows the whole commands.
V ?=
Q := $(if $(V),,@)

OPTIMISE := -O2 -g
# By architecture: what this compiler takes for what it builds for, of all that there are.
takes = $(shell $(CC) -Werror $(1) -S -x c -o /dev/null /dev/null 2>/dev/null && echo $(1))
HARDEN := $(strip $(foreach f,-fstack-protector-strong -fstack-clash-protection -fcf-protection -mbranch-protection=standard, \
	$(call takes,$f))) -fPIE -U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=2
WARN := -Wall -Wextra -Wshadow -Wconversion -Wno-sign-conversion -Wstrict-prototypes -Wmissing-prototypes \
	-Wold-style-definition -Wpointer-arith -Wcast-qual -Wwrite-strings -Wundef -Wvla -Wformat=2 -Wframe-larger-than=16384
ifneq ($(WERROR),)
WARN += -Werror
endif
LDHARDEN := -pie -Wl,-z,relro,-z,now -Wl,--as-needed
ifneq ($(SANITIZE),)
OPTIMISE := -O1 -g1 -fno-omit-frame-pointer -fsanitize=address,undefined -fno-sanitize-recover=all
HARDEN := -fPIE
WARN := $(filter-out -Wframe-larger-than=16384,$(WARN))
LDHARDEN := -pie -fsanitize=address,undefined
endif
ifneq ($(COVERAGE),)
OPTIMISE := -O1 -g1 --coverage
HARDEN := -fPIE
WARN := $(filter-out -Wframe-larger-than=16384,$(WARN))
LDHARDEN := -pie --coverage -Wl,-u,__gcov_dump
endif

ALL_CFLAGS = -std=gnu11 -D_GNU_SOURCE -DINFINISERVICE_VERSION='"$(VERSION)"' -DLIBEXECDIR='"$(LIBEXECDIR)"' \
	-DSYSCONFDIR='"$(SYSCONFDIR)"' -MMD -MP $(OPTIMISE) $(HARDEN) $(WARN) $(CFLAGS)
ALL_LDFLAGS = $(LDHARDEN) $(LDFLAGS)

# What each folder may see: a collector includes only include/ and its own folder, and so on (agent may see all).
INC_collectors := -Iinclude -Icollectors
INC_transport := -Iinclude -Itransport
INC_agent := -Iinclude -I.
INC_tools := -Iinclude -I.
INC_tests := -Iinclude -I. -Itests -DLIBSYSTEMD_DIRECT -DTEST_FOLDER='"$(CURDIR)/tests"' -Wno-frame-larger-than

comma := ,

# ---------------------------------------------------------------------------------------------------- libraries
# From those that use others down to those that are used, which is the order they are linked in.
LIBS := ctl host hub show executor freeze agent qga actions command peer metrics run runner audit rules bus base cleaner packages log config catalog collectors transport
DIR_ctl := tools/infinictl
DIR_host := tools/infinihost
DIR_hub := tools/hub
DIR_show := tools/show
DIR_agent := agent
DIR_qga := agent/qga
DIR_actions := agent/actions
DIR_command := agent/command
DIR_peer := agent/peer
DIR_metrics := agent/metrics
DIR_run := agent/run
DIR_runner := agent/runner
DIR_audit := agent/audit
DIR_bus := agent/bus
DIR_rules := agent/rules
DIR_base := agent/base
DIR_executor := agent/executor
DIR_cleaner := agent/cleaner
DIR_freeze := agent/freeze
DIR_packages := agent/packages
DIR_log := agent/log
DIR_config := agent/config
DIR_catalog := agent/catalog
DIR_collectors := collectors
DIR_transport := transport
MAINS := agent/main.c agent/executor/main.c tools/infinictl/main.c tools/infinihost/main.c

# Which others each of them may use; `make lint` links each whole over those alone, and looks at what it includes.
OVER_config := catalog
OVER_ctl := show log config catalog transport
OVER_host := hub show config transport
OVER_hub := show config transport
OVER_show := transport
OVER_executor := runner rules bus base packages config
OVER_freeze := rules collectors
OVER_agent := qga actions command peer metrics run runner audit bus rules base log config collectors transport
OVER_qga := run runner metrics audit rules base config collectors transport
OVER_actions := command peer metrics run runner audit bus rules base packages log config collectors transport
OVER_command := peer metrics run runner audit rules base config transport
OVER_peer := metrics base config transport
OVER_metrics := bus base log config catalog collectors transport
OVER_run := runner rules base transport
OVER_audit := base transport
OVER_bus := base
OVER_rules := bus
OVER_base := collectors transport
OVER_cleaner := config
OVER_log := catalog transport

define library
SRC_$(1) := $$(filter-out $$(MAINS),$$(wildcard $$(DIR_$(1))/*.c))
$$(BUILD)/lib$(1).a: $$(patsubst %.c,$$(BUILD)/%.o,$$(SRC_$(1)))
	@rm -f $$@
	@$$(AR) rcs $$@ $$^
endef
$(foreach l,$(LIBS),$(eval $(call library,$(l))))

# The hub's page is a text in the program. Escaped: what ends a string, and "?" for trigraphs.
$(BUILD)/libhub.a: $(BUILD)/tools/hub/page_html.o
$(BUILD)/tools/hub/page_html.c: tools/hub/page.html
	@mkdir -p $(@D)
	@{ echo '#include "tools/hub/page.h"'; echo 'const char page_html[] ='; sed 's/[\\"?]/\\&/g; s/.*/"&\\n"/' $<; echo ';'; } >$@
$(BUILD)/tools/hub/page_html.o: $(BUILD)/tools/hub/page_html.c $(BUILD)/.flags | $(BUILD)/.libraries
	$(Q)$(CC) $(INC_tools) $(ALL_CFLAGS) -c -o $@ $<

A = $(BUILD)/lib$(1).a
# Some libraries and all that those use, in the order of LIBS.
with_used = $(sort $(1) $(foreach l,$(1),$(call with_used,$(OVER_$l))))
archives = $(foreach l,$(filter $(call with_used,$(1)),$(LIBS)),$(call A,$l))
LINK_agent := $(call archives,agent)
LINK_executor := $(call archives,executor freeze cleaner)
LINK_ctl := $(call archives,ctl)
LINK_host := $(call archives,host)
SYS_agent := -lev -ljson-c -linih -lzstd -lnettle -lm -ldl
SYS_executor := -linih -ldl
SYS_ctl := -ljson-c -lsystemd -linih -lzstd -lnettle -lncursesw -lm
SYS_host := -lev -ljson-c -linih -lmicrohttpd -lz -lnettle -lm
# Tests play the other end of D-Bus connections, for which they link what the programs load.
SYS_tests := $(SYS_agent) -lsystemd -lmicrohttpd -lz -lncursesw

PROGRAMS := infiniservice infiniservice-exec infinictl infinihost

.PHONY: all help deps run unit check soak asan lint fuzz coverage mutate steps bench format install uninstall portable deb check-package clean compile_commands.json
all: $(addprefix $(BUILD)/,$(PROGRAMS)) ## build the four programs into build/

$(BUILD)/infiniservice: $(BUILD)/agent/main.o $(LINK_agent)
	$(if $(V),,@echo "  LINK $(@F)")
	$(Q)$(CC) $(ALL_LDFLAGS) -o $@ $^ $(SYS_agent)
$(BUILD)/infiniservice-exec: $(BUILD)/agent/executor/main.o $(LINK_executor)
	$(if $(V),,@echo "  LINK $(@F)")
	$(Q)$(CC) $(ALL_LDFLAGS) -o $@ $^ $(SYS_executor)
$(BUILD)/infinictl: $(BUILD)/tools/infinictl/main.o $(LINK_ctl)
	$(if $(V),,@echo "  LINK $(@F)")
	$(Q)$(CC) $(ALL_LDFLAGS) -o $@ $^ $(SYS_ctl)
$(BUILD)/infinihost: $(BUILD)/tools/infinihost/main.o $(LINK_host)
	$(if $(V),,@echo "  LINK $(@F)")
	$(Q)$(CC) $(ALL_LDFLAGS) -o $@ $^ $(SYS_host)

UNITS := infiniservice.service infiniservice-port@.service infiniservice-exec.service infiniservice-exec.socket

# Both programs in one file, with the small libraries in it: of the system it needs the C library alone, from PORTABLE_RELEASE's on. It is
# compiled by this machine's compiler against that release's files, in a build of its own.
PORTABLE_RELEASE := bullseye
PORTABLE := $(BUILD)/agent/portable/main.o $(BUILD)/agent/portable/executor_main.o
SYS_portable := -Wl,-Bstatic -lev -ljson-c -linih -lzstd -lnettle -Wl,-Bdynamic -lm -ldl
$(BUILD)/agent/portable/executor_main.o: agent/executor/main.c $(BUILD)/.flags
	@mkdir -p $(@D)
	$(Q)$(CC) $(INC_agent) $(ALL_CFLAGS) -Dmain=executor_main -Wno-missing-prototypes -c -o $@ $<
$(BUILD)/infiniservice-portable: $(PORTABLE) $(call archives,agent executor freeze cleaner)
	$(if $(V),,@echo "  LINK $(@F)")
	$(Q)$(CC) $(ALL_LDFLAGS) -s -o $@ $^ $(SYS_portable)
# The installer that may be pushed with it, whole.
INSTALLER_PARTS := $(UNITS) 60-infiniservice.rules infiniservice.conf examples/10-process-details.conf
$(BUILD)/portable/install-linux.sh: packaging/install-linux.sh $(addprefix packaging/,$(INSTALLER_PARTS))
	@mkdir -p $(@D)
	@{ cat $<; for p in $(INSTALLER_PARTS); do echo "#== $${p##*/}"; cat packaging/$$p; done; } >$@
	@chmod 755 $@

# Without a compiler or a library nothing is begun, and the way to get them is told.
AGENT_HEADERS := ev.h json-c/json.h systemd/sd-journal.h ini.h zstd.h nettle/hmac.h
HEADERS := $(AGENT_HEADERS) microhttpd.h zlib.h ncursesw/curses.h
$(BUILD)/.libraries: $(BUILD)/.flags
	@tools/need.sh "$(CC) $(CFLAGS)" $(HEADERS) && touch $@
$(BUILD)/.cmocka: $(BUILD)/.flags
	@tools/need.sh "$(CC) $(CFLAGS)" $(HEADERS) cmocka.h && touch $@
$(addprefix $(BUILD)/,$(patsubst %.c,%.o,$(wildcard tests/unit/*.c))): | $(BUILD)/.cmocka

$(BUILD)/%.o: %.c $(BUILD)/.flags | $(BUILD)/.libraries
	@mkdir -p $(@D)
	$(if $(V),,@echo "  CC   $<")
	$(Q)$(CC) $(INC_$(firstword $(subst /, ,$<))) $(ALL_CFLAGS) -c -o $@ $<

# Objects are rebuilt when the compiler or its flags change.
.PHONY: force
$(BUILD)/.flags: force
	@mkdir -p $(@D)
	@echo '$(CC) $(ALL_CFLAGS)' | cmp -s - $@ || echo '$(CC) $(ALL_CFLAGS)' >$@

# -------------------------------------------------------------------------------------------------------- tests
UNIT_TESTS := $(patsubst %.c,$(BUILD)/%,$(wildcard tests/unit/test_*.c))
UNIT_LINK := $(call archives,$(LIBS))
# The longest ones first, so that none is left alone at the end.
LONG_TESTS := $(patsubst %,tests/integration/test_%.py,shares portable packages port apt dnf seal commands)
INTEGRATION_TESTS := $(LONG_TESTS) $(filter-out $(LONG_TESTS),$(wildcard tests/integration/test_*.py))
# What says nothing of our programs that a sanitizer could see: the documents, the shell and the make of installing and building, the room
# of the tests, and the portable program, which is linked without sanitizers. (What installs runs sanitized in test_prepare and test_seal.)
# And the real apt and dnf: what we do with them runs sanitized in test_packages, where they are played.
NOT_SANITIZED := $(patsubst %,tests/integration/test_%.py,rows documents manuals building install portable room apt dnf mutate)
BENCHES := $(patsubst %.c,$(BUILD)/%,$(wildcard tests/bench/*.c))
FUZZERS := $(patsubst tests/fuzz/fuzz_%.c,%,$(wildcard tests/fuzz/fuzz_*.c))
REPLAYS := $(patsubst %,$(BUILD)/tests/fuzz/replay_%,$(FUZZERS))
FUZZ_SECONDS ?= 60
# How many programs with tests run side by side.
TEST_JOBS ?= 2
# What has to be compiled first is compiled on all processors, unless this make was told otherwise.
PARALLEL = $(if $(filter -j% --jobserver%,$(MAKEFLAGS)),,-j$(shell nproc))
# Memory that was freed is handed out again sooner: fresh pages took half of the time. And no more bytes than the target tells apart.
FUZZ_ASAN := quarantine_size_mb=4
FUZZ_OPTIONS_audit := -max_len=1280
FUZZ_OPTIONS_qga := -max_len=1024
FUZZ_OPTIONS_mountinfo := -max_len=768
FUZZ_OPTIONS_procfs := -max_len=1024
# Its agent goes on holding what it holds: that is looked through for leaks at the end, not a thousand times.
FUZZ_OPTIONS_session := -max_len=640 -entropic=0 -detect_leaks=0
FUZZ_OPTIONS_logread := -max_len=2048 -entropic=0

# Tests find the programs, and what they may write, here.
export INFINISERVICE_BUILD := $(abspath $(BUILD))

# Each test starts itself anew in a room where it can destroy nothing of the machine.
$(BUILD)/tests/unit/test_%: $(BUILD)/tests/unit/test_%.o $(BUILD)/tests/room.o $(UNIT_LINK)
	$(if $(V),,@echo "  LINK $(@F)")
	$(Q)$(CC) $(ALL_LDFLAGS) -o $@ $^ $(SYS_tests) -lcmocka $(LDLIBS_$*)

# A test that fails calls of the C library names them here; it stands alone, so that only our own calls are failed.
OOM_WRAPS := malloc calloc realloc reallocarray free strdup strndup asprintf __asprintf_chk opendir fdopendir fopen scandir
LDLIBS_port_refused := -Wl,--wrap=send
LDLIBS_clock := -Wl,--wrap=adjtimex
LDLIBS_pressure := -Wl,--wrap=pread
LDLIBS_vmstat := -Wl,--wrap=pread
LDLIBS_filesystem := -Wl,--wrap=statvfs
LDLIBS_reserve := -Wl,--wrap=malloc -Wl,--wrap=realloc
LDLIBS_local := $(patsubst %,-Wl$(comma)--wrap=%,getsockopt geteuid clock_gettime accept4)
LDLIBS_shares := $(LDLIBS_local)
LDLIBS_oom := $(patsubst %,-Wl$(comma)--wrap=%,$(OOM_WRAPS) clock_gettime ev_timer_start ev_timer_again)

# One program per target that runs it over the files of its corpus, with the ordinary compiler.
$(BUILD)/tests/fuzz/replay_%: $(BUILD)/tests/fuzz/replay.o $(BUILD)/tests/fuzz/fuzz_%.o $(UNIT_LINK)
	$(if $(V),,@echo "  LINK $(@F)")
	$(Q)$(CC) $(ALL_LDFLAGS) -o $@ $^ $(SYS_agent)

$(BUILD)/tests/bench/%: $(BUILD)/tests/bench/%.o $(UNIT_LINK)
	$(if $(V),,@echo "  LINK $(@F)")
	$(Q)$(CC) $(ALL_LDFLAGS) -o $@ $^ $(SYS_agent)
# Two guests, for two processors, that take about as long: each story is told in one of them. Those of actions and of what turns a guest
# off belong together; a processor is plugged into a guest that has been turned off and on, not into one that has moved.
STORIES := $(patsubst tests/vm/story_%.py,%,$(wildcard tests/vm/story_*.py))
STORIES_APART := commands detached disk executor power signed storm time travel
# The first has a kernel with other options, the last has disks that are frozen.
GUEST_RUNS := "tests/vm/run_options.py --again" "tests/vm/run_guest.py --again $(STORIES_APART)" "tests/vm/run_guest.py --again $(filter-out $(STORIES_APART) freeze qga_root,$(STORIES))" \
	"tests/vm/run_freeze.py --again"
# All of it in one release; in the other what that can make different. And the portable program, as a host pushes it.
PACKAGE_RUNS := "tests/vm/run_package.py --again --release bookworm" "tests/vm/run_package.py --again --brief --release trixie" \
	"tests/vm/run_pushed.py --again --release bookworm" "tests/vm/run_pushed.py --again --brief --release trixie"
.SECONDARY:
.PHONY: unit-programs test-programs
unit-programs: $(UNIT_TESTS)
test-programs: all $(UNIT_TESTS) $(REPLAYS)

deps: ## install what building and testing need (Debian packages)
	@tools/deps.sh build test

run: ## install what is missing, build, and watch the agent talk to an embedded host (DURATION=10 ends it)
	@tools/deps.sh build
	@$(MAKE) --no-print-directory $(PARALLEL) all
	@$(BUILD)/infinihost demo -- $(BUILD)/infiniservice

unit: unit-programs all ## unit tests: no root, no network, no clang, under 30 s
	@tests/run $(UNIT_TESTS)

check: ## everything: units, corpora, the real binary, two booted guests (installs what the tests need)
	@tools/deps.sh build test
	@$(MAKE) --no-print-directory $(PARALLEL) test-programs
	@tests/run -j $(TEST_JOBS) -t 1800 --again $(CHECK_SUMMARY) $(GUEST_RUNS) $(UNIT_TESTS) tests/fuzz/test_corpora.py $(INTEGRATION_TESTS)

asan: ## units, corpora and the real binary once more under ASan and UBSan
	@tools/deps.sh build test
	@$(MAKE) --no-print-directory $(PARALLEL) BUILD=$(BUILD)/asan SANITIZE=1 test-programs
	@INFINISERVICE_BUILD=$(abspath $(BUILD)/asan) ASAN_OPTIONS=detect_leaks=1 UBSAN_OPTIONS=print_stacktrace=1 \
		tests/run -j $(TEST_JOBS) -t 480 --again $(ASAN_SUMMARY) $(patsubst $(BUILD)/%,$(BUILD)/asan/%,$(UNIT_TESTS)) \
		tests/fuzz/test_corpora.py $(filter-out $(NOT_SANITIZED),$(INTEGRATION_TESTS))

# Without the test of a failing memory, which runs everything there is.
coverage: ## lines of each library that unit tests alone run (OF="LIBRARY …" tells their files and the lines that are not)
	@tools/deps.sh build test
	@$(MAKE) --no-print-directory $(PARALLEL) BUILD=$(BUILD)/coverage COVERAGE=1 all unit-programs
	@find $(BUILD)/coverage -name '*.gcda' -delete
	@INFINISERVICE_BUILD=$(abspath $(BUILD)/coverage) INFINISERVICE_COUNTED=$(abspath $(BUILD)/coverage) tests/run -j $(TEST_JOBS) \
		$(patsubst $(BUILD)/%,$(BUILD)/coverage/%,$(filter-out %/test_oom,$(UNIT_TESTS)))
	@$(MAKE) --no-print-directory $(BUILD)/libraries
	@tools/coverage.py $(BUILD)/coverage $(BUILD)/libraries $(OF)

mutate: ## N=… (100) small faults in the code, one at a time, and which no unit test notices (PART="LIBRARY …", SEED=…, INTEGRATION=1, V=1)
	@tools/deps.sh build test
	@$(MAKE) -s --no-print-directory $(BUILD)/libraries
	@tools/mutate.py -n $(or $(N),100) -s $(or $(SEED),1) $(if $(V),-v) $(if $(INTEGRATION),--integration) $(BUILD) $(BUILD)/libraries $(PART)

steps: ## files and functions of the agent that a package install, a sample and a stop enter (needs root)
	@tools/deps.sh build test
	@mkdir -p $(BUILD)/steps && rm -f $(BUILD)/steps/infiniservice
	@$(CC) -O2 -Wall -c -o $(BUILD)/steps/trace.o tests/steps/trace.c
	@$(MAKE) --no-print-directory $(PARALLEL) BUILD=$(BUILD)/steps CFLAGS="-finstrument-functions -finstrument-functions-exclude-file-list=include/,.h" \
		LDFLAGS="$(abspath $(BUILD)/steps/trace.o) -Wl,--export-dynamic" all
	@INFINISERVICE_BUILD=$(abspath $(BUILD)/steps) tests/steps/run

fuzz: ## libFuzzer over every target, FUZZ_SECONDS (60) each
	@tools/deps.sh fuzz
	@$(MAKE) --no-print-directory $(PARALLEL) BUILD=$(BUILD)/fuzz CC=clang CFLAGS="-fsanitize=fuzzer-no-link,address,undefined -O1 -DSOURCE_BLOCK=1024u" \
		LDFLAGS="-fsanitize=fuzzer,address,undefined" fuzzers
	@$(foreach f,$(FUZZERS),mkdir -p $(BUILD)/fuzz/corpus/$f; ASAN_OPTIONS=$(FUZZ_ASAN):$$ASAN_OPTIONS \
		$(BUILD)/fuzz/tests/fuzz/fuzz_$f -max_total_time=$(FUZZ_SECONDS) -print_final_stats=1 $(FUZZ_OPTIONS_$f) \
		$(patsubst %,-dict=%,$(wildcard tests/fuzz/$f.dict)) $(BUILD)/fuzz/corpus/$f tests/fuzz/corpus/$f || exit 1;)

.PHONY: fuzzers
fuzzers: $(patsubst %,$(BUILD)/tests/fuzz/fuzz_%,$(FUZZERS))
$(BUILD)/tests/fuzz/fuzz_%: $(BUILD)/tests/fuzz/fuzz_%.o $(UNIT_LINK)
	$(if $(V),,@echo "  LINK $(@F)")
	$(Q)$(CC) $(ALL_LDFLAGS) -o $@ $^ $(SYS_agent)

bench: ## figures against floor programs and peers, as ratios
	@tools/deps.sh bench
	@$(MAKE) --no-print-directory $(PARALLEL) all $(BENCHES)
	@tests/bench/run
	@tests/bench/hub.py

soak: ## kills, storms, reconnects and power cuts, N=… rounds (default 20)
	@tools/deps.sh build test
	@$(MAKE) --no-print-directory check portable
	@tests/soak/run $(or $(N),20)

# --------------------------------------------------------------------------------------------------------- quality
C_FILES = $(shell git ls-files '*.[ch]' 2>/dev/null || find agent collectors transport tools tests include -name '*.[ch]')

lint: ## format, warnings of two compilers as errors, include direction, cppcheck, clang-tidy, shellcheck, systemd-analyze
	@tools/deps.sh lint
	@tools/lint.sh $(BUILD)

# The table that tools/links.py holds the libraries to.
$(BUILD)/libraries: Makefile
	@mkdir -p $(@D)
	@printf '%s\n' $(foreach l,$(LIBS),"$l $(DIR_$l) $(OVER_$l)") >$@

format: ## clang-format (of Debian 12) over all C files
	clang-format -i $(C_FILES)

compile_commands.json: ## the compile database for editors and clang-tidy
	@$(MAKE) -n -B all unit-programs BUILD=$(BUILD) | tools/compile_commands.py >$@

# --------------------------------------------------------------------------------------------------------- install
INSTALL = install
MAN_PAGES := infinictl.1 infinihost.1 infiniservice.conf.5 infiniservice-host.conf.5 infiniservice-protocol.7 infiniservice.8 \
	infiniservice-exec.8
COMPLETED := infiniservice infinictl infinihost
EXAMPLES := $(notdir $(wildcard packaging/examples/*))
PROMETHEUS := $(notdir $(wildcard packaging/prometheus/*))
# All that install puts anywhere, but for the configuration.
INSTALLED = $(PREFIX)/sbin/infiniservice $(LIBEXECDIR)/infiniservice-exec $(PREFIX)/bin/infinictl $(PREFIX)/bin/infinihost \
	$(addprefix $(UNITDIR)/,$(UNITS) infinihost.service) $(UDEVDIR)/60-infiniservice.rules $(SYSUSERSDIR)/infiniservice.conf \
	$(SYSUSERSDIR)/infinihost.conf $(DOCDIR)/examples/host.conf $(addprefix $(DOCDIR)/prometheus/,$(PROMETHEUS)) \
	$(foreach m,$(MAN_PAGES),$(MANDIR)/man$(subst .,,$(suffix $m))/$m) $(addprefix $(DOCDIR)/examples/,$(EXAMPLES)) \
	$(foreach c,$(COMPLETED),$(BASHDIR)/$c $(ZSHDIR)/_$c $(FISHDIR)/$c.fish)

install: all ## install under DESTDIR
	$(INSTALL) -D -m 755 $(BUILD)/infiniservice $(DESTDIR)$(PREFIX)/sbin/infiniservice
	$(INSTALL) -D -m 755 $(BUILD)/infiniservice-exec $(DESTDIR)$(LIBEXECDIR)/infiniservice-exec
	$(INSTALL) -D -m 755 $(BUILD)/infinictl $(DESTDIR)$(PREFIX)/bin/infinictl
	$(INSTALL) -D -m 755 $(BUILD)/infinihost $(DESTDIR)$(PREFIX)/bin/infinihost
	$(INSTALL) -D -m 644 packaging/infiniservice.conf $(DESTDIR)$(SYSCONFDIR)/infiniservice/infiniservice.conf
	$(INSTALL) -d -m 755 $(DESTDIR)$(SYSCONFDIR)/infiniservice/conf.d
	for u in $(UNITS) infinihost.service; do $(INSTALL) -D -m 644 packaging/$$u $(DESTDIR)$(UNITDIR)/$$u && \
		sed -i 's|=\([-+]*\)/usr/sbin/|=\1$(PREFIX)/sbin/|; s|=\([-+]*\)/usr/libexec/|=\1$(LIBEXECDIR)/|; s|=/usr/bin/|=$(PREFIX)/bin/|' $(DESTDIR)$(UNITDIR)/$$u || exit 1; done
	$(INSTALL) -D -m 644 packaging/60-infiniservice.rules $(DESTDIR)$(UDEVDIR)/60-infiniservice.rules
	$(INSTALL) -D -m 644 packaging/sysusers.conf $(DESTDIR)$(SYSUSERSDIR)/infiniservice.conf
	$(INSTALL) -D -m 644 packaging/sysusers-host.conf $(DESTDIR)$(SYSUSERSDIR)/infinihost.conf
	$(INSTALL) -D -m 644 packaging/host.conf $(DESTDIR)$(DOCDIR)/examples/host.conf
	for p in $(PROMETHEUS); do $(INSTALL) -D -m 644 packaging/prometheus/$$p $(DESTDIR)$(DOCDIR)/prometheus/$$p || exit 1; done
	for m in $(MAN_PAGES); do $(INSTALL) -D -m 644 packaging/man/$$m $(DESTDIR)$(MANDIR)/man$${m##*.}/$$m || exit 1; done
	for c in $(COMPLETED); do \
		$(INSTALL) -D -m 644 packaging/completions/$$c.bash $(DESTDIR)$(BASHDIR)/$$c && \
		$(INSTALL) -D -m 644 packaging/completions/$$c.zsh $(DESTDIR)$(ZSHDIR)/_$$c && \
		$(INSTALL) -D -m 644 packaging/completions/$$c.fish $(DESTDIR)$(FISHDIR)/$$c.fish || exit 1; done
	for e in $(EXAMPLES); do $(INSTALL) -D -m 644 packaging/examples/$$e $(DESTDIR)$(DOCDIR)/examples/$$e || exit 1; done

uninstall: ## remove what install put there (the configuration stays)
	rm -f $(addprefix $(DESTDIR),$(INSTALLED))
	-rmdir $(DESTDIR)$(DOCDIR)/examples $(DESTDIR)$(DOCDIR)/prometheus $(DESTDIR)$(DOCDIR)

portable: $(BUILD)/portable/install-linux.sh ## one program for every Linux with glibc 2.31 or newer, and its installer, into build/portable
	@tools/deps.sh build portable
	@root=$$(tools/sysroot.py $(BUILD) $(PORTABLE_RELEASE)) && libraries=$$root/usr/lib/$$($(CC) -print-multiarch) && \
		$(MAKE) --no-print-directory $(PARALLEL) BUILD=$(BUILD)/portable/objects CC="$(CC) --sysroot=$$root" \
		LDFLAGS="$(LDFLAGS) -B$$libraries -L$$libraries" HEADERS="$(AGENT_HEADERS)" $(BUILD)/portable/objects/infiniservice-portable
	@$(INSTALL) -m 755 $(BUILD)/portable/objects/infiniservice-portable $(BUILD)/portable/infiniservice

deb: ## Debian packages infiniservice and infiniservice-host, into build/deb
	@tools/deps.sh build deb
	@rm -f $(BUILD)/deb/infiniservice_*.deb $(BUILD)/deb/infiniservice-*_*.deb
	@packaging/build-deb.sh $(BUILD)/deb

check-package: deb portable ## the life of the installed package in booted Debian 12 and 13, and of the portable program pushed into them
	@tools/deps.sh test
	@tests/run -j $(TEST_JOBS) -t 1800 --again $(PACKAGE_RUNS)

clean: ## remove what was built (the cached guest images too)
	@test ! -e $(BUILD) || test -e $(BUILD)/.flags || \
		{ echo "$(BUILD): nothing was built there (it has no .flags), so it stays: remove it yourself" >&2; exit 1; }
	rm -rf $(BUILD) compile_commands.json

help: ## this list
	@sed -n 's/^\([a-z_.-]*\):[^#]*## \(.*\)/  \1|\2/p' Makefile | awk -F'|' '{ printf "%-24s%s\n", $$1, $$2 }'

-include $(shell find $(BUILD) \( -path $(BUILD)/asan -o -path $(BUILD)/fuzz -o -path $(BUILD)/portable -o -path $(BUILD)/mutate -o -path $(BUILD)/cache \) -prune -o -name '*.d' -print 2>/dev/null)
