# InfiniService. `make help` lists what there is to do.

VERSION := 0.1.0
BUILD ?= build
CC ?= gcc
PREFIX ?= /usr
SYSCONFDIR ?= /etc
LIBEXECDIR ?= $(PREFIX)/libexec
UNITDIR ?= /lib/systemd/system
UDEVDIR ?= /lib/udev/rules.d
SYSUSERSDIR ?= $(PREFIX)/lib/sysusers.d

# SANITIZE=1 builds with ASan and UBSan; WERROR=1 turns warnings into errors (CI does).
SANITIZE ?=
WERROR ?=

OPTIMISE := -O2 -g
HARDEN := -fstack-protector-strong -fstack-clash-protection -fcf-protection -fPIE -U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=2
WARN := -Wall -Wextra -Wshadow -Wconversion -Wno-sign-conversion -Wstrict-prototypes -Wmissing-prototypes \
	-Wold-style-definition -Wpointer-arith -Wcast-qual -Wwrite-strings -Wundef -Wvla -Wformat=2 -Wframe-larger-than=16384
ifneq ($(WERROR),)
WARN += -Werror
endif
LDHARDEN := -pie -Wl,-z,relro,-z,now -Wl,--as-needed
ifneq ($(SANITIZE),)
OPTIMISE := -O1 -g -fno-omit-frame-pointer -fsanitize=address,undefined -fno-sanitize-recover=all
HARDEN := -fPIE
WARN := $(filter-out -Wframe-larger-than=16384,$(WARN))
LDHARDEN := -pie -fsanitize=address,undefined
endif

ALL_CFLAGS = -std=gnu11 -D_GNU_SOURCE -DINFINISERVICE_VERSION='"$(VERSION)"' -DLIBEXECDIR='"$(LIBEXECDIR)"' \
	-DSYSCONFDIR='"$(SYSCONFDIR)"' -MMD -MP $(OPTIMISE) $(HARDEN) $(WARN) $(CFLAGS)
ALL_LDFLAGS = $(LDHARDEN) $(LDFLAGS)

# What each folder may see: a collector includes only include/ and its own folder, and so on (agent may see all).
INC_collectors := -Iinclude -Icollectors
INC_transport := -Iinclude -Itransport
INC_agent := -Iinclude -I.
INC_tools := -Iinclude -I.
INC_tests := -Iinclude -I. -Itests

# ---------------------------------------------------------------------------------------------------- libraries
LIBS := collectors transport config log executor agent ctl host
DIR_collectors := collectors
DIR_transport := transport
DIR_config := agent/config
DIR_log := agent/log
DIR_executor := agent/executor
DIR_agent := agent
DIR_ctl := tools/infinictl
DIR_host := tools/infinihost
MAINS := agent/main.c agent/executor/main.c tools/infinictl/main.c tools/infinihost/main.c

define library
SRC_$(1) := $$(filter-out $$(MAINS),$$(wildcard $$(DIR_$(1))/*.c))
$$(BUILD)/lib$(1).a: $$(patsubst %.c,$$(BUILD)/%.o,$$(SRC_$(1)))
	@rm -f $$@
	$$(AR) rcs $$@ $$^
endef
$(foreach l,$(LIBS),$(eval $(call library,$(l))))

A = $(BUILD)/lib$(1).a
LINK_agent := $(call A,agent) $(call A,executor) $(call A,log) $(call A,config) $(call A,collectors) $(call A,transport)
LINK_executor := $(call A,executor)
LINK_ctl := $(call A,ctl) $(call A,log) $(call A,config) $(call A,transport)
LINK_host := $(call A,host) $(call A,log) $(call A,config) $(call A,transport)
SYS_agent := -lev -ljson-c -lsystemd -linih -lzstd -lnettle
SYS_executor :=
SYS_ctl := -ljson-c -linih -lzstd -lnettle
SYS_host := -ljson-c -linih -lzstd -lnettle

PROGRAMS := infiniservice infiniservice-exec infinictl infinihost

.PHONY: all help deps run unit check soak asan lint fuzz bench format install uninstall clean compile_commands.json
all: $(addprefix $(BUILD)/,$(PROGRAMS)) ## build the four programs into build/

$(BUILD)/infiniservice: $(BUILD)/agent/main.o $(LINK_agent)
	$(CC) $(ALL_LDFLAGS) -o $@ $^ $(SYS_agent)
$(BUILD)/infiniservice-exec: $(BUILD)/agent/executor/main.o $(LINK_executor)
	$(CC) $(ALL_LDFLAGS) -o $@ $^ $(SYS_executor)
$(BUILD)/infinictl: $(BUILD)/tools/infinictl/main.o $(LINK_ctl)
	$(CC) $(ALL_LDFLAGS) -o $@ $^ $(SYS_ctl)
$(BUILD)/infinihost: $(BUILD)/tools/infinihost/main.o $(LINK_host)
	$(CC) $(ALL_LDFLAGS) -o $@ $^ $(SYS_host)

$(BUILD)/%.o: %.c $(BUILD)/.flags
	@mkdir -p $(@D)
	$(CC) $(INC_$(firstword $(subst /, ,$<))) $(ALL_CFLAGS) -c -o $@ $<

# Objects are rebuilt when the compiler or its flags change.
.PHONY: force
$(BUILD)/.flags: force
	@mkdir -p $(@D)
	@echo '$(CC) $(ALL_CFLAGS)' | cmp -s - $@ || echo '$(CC) $(ALL_CFLAGS)' >$@

# -------------------------------------------------------------------------------------------------------- tests
UNIT_TESTS := $(patsubst %.c,$(BUILD)/%,$(wildcard tests/unit/test_*.c))
UNIT_LINK := $(call A,agent) $(call A,executor) $(call A,ctl) $(call A,host) $(call A,log) $(call A,config) $(call A,collectors) $(call A,transport)

$(BUILD)/tests/unit/test_%: $(BUILD)/tests/unit/test_%.o $(UNIT_LINK)
	$(CC) $(ALL_LDFLAGS) -o $@ $^ $(SYS_agent) -lcmocka $(LDLIBS_$*)
.SECONDARY:

unit-programs: $(UNIT_TESTS)
.PHONY: unit-programs

clean: ## remove what was built (the cached guest images too)
	rm -rf $(BUILD) compile_commands.json

help: ## this list
	@sed -n 's/^\([a-z.-]*\):[^#]*## \(.*\)/  \1|\2/p' $(MAKEFILE_LIST) | column -t -s '|'

-include $(shell find $(BUILD) -name '*.d' 2>/dev/null)
