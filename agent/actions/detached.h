/* SPDX-License-Identifier: MIT */
/*
 * Commands whose programs outlive the agent: packages, and the making of a golden image. The journal records the unit
 * and the parameters of such a command. The next agent process creates the command again and runs its action, but
 * attaches to the detached run instead of starting its program: it reads the files of the run and waits for its end. So
 * the action goes on where it was and gives its own answer.
 *
 *	run_program ─► journal, unit ─► … ─► answered ─► run_forget
 *	               └ (the agent ends) ─► detached_resume ─► run, attached ─► answered, or held
 *	                 until there is a host
 */
#ifndef AGENT_ACTIONS_DETACHED_H
#define AGENT_ACTIONS_DETACHED_H

struct bus;
struct command;
struct commands;
struct exec;
struct held_answer;
struct legacy_run;
struct session;

struct detached {
	struct commands *commands;
	struct exec *executor;
	struct bus *bus; /* for the runs of 0.1.0 */
	struct session *host;
	const char *boot_id;
	struct held_answer *held; /* answers for the next session of the host */
	struct legacy_run *legacy;
};

/*
 * At the start: resumes the commands whose detached runs an earlier agent process left; removes them from the journal's
 * `lost`.
 */
void detached_resume(struct detached *detached);

/*
 * Sends the answer in the writer to the host; without a host it is held for the next session. Until the answer is sent
 * the journal and the files of the run stay.
 */
void detached_deliver(struct detached *detached, struct command *command);

/* A session with the host has started: held answers are sent. */
void detached_session_began(struct detached *detached);

/*
 * At the end: answers still held, and the runs of 0.1.0, are left to the next agent process. Accepts zeroed memory.
 */
void detached_done(struct detached *detached);

#endif
