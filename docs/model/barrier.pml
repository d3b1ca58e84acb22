/*
 * The barrier as a Promela model, checked by scripts/model-check.mjs (spin, from Debian). It says in sixty lines what
 * packages/core/src/barrier does in a thousand: N ranks pass G generations of one barrier, over a network that delays, loses
 * and repeats arrivals, with a coordinator that decides each generation once. Names in brackets are the invariants of the code:
 *
 *   I1 a pass means that every rank came      I2 one decision per generation      I3 no rank passes where another fails
 *
 * and, with -DLIVENESS: I4 every wait ends.
 *
 * The coordinator may lose what it knows of arrivals at any time (they come again), but never a decision. Four mistakes can be
 * built in, and the check must find each of them:
 *
 *   -DVOLATILE        the coordinator forgets decisions and goes on           breaks I3
 *   -DMEMBER_TIMEOUT  a rank that waits too long decides by itself            breaks I3
 *   -DNO_GENERATIONS  arrivals are counted without looking at the generation  breaks I1
 *   -DNO_DEADLINE     nobody gives up a rank that lives and does not come     breaks I4
 *
 * The code goes further than the first: a coordinator that is lost is not restarted at all, it ends the epoch.
 */
#ifndef N
#define N 3                         /* ranks: 3 or 4 */
#endif
#ifndef G
#define G 2                         /* generations */
#endif
#define NONE 0
#define PASS 1
#define FAIL 2
#define FAILED 8                    /* added to the generation of an arrival that brings a failure */
#ifndef TROUBLES
#define TROUBLES 3                  /* per run */
#endif

byte decided[G + 2];                /* the record of decisions, by generation from 1 */
bool arrived[N];                    /* what the coordinator knows of the open generation */
byte open = 1;                      /* the generation that is open or comes next */
byte slot[N];                       /* one arrival on its way, 0 when there is none */
byte repeated[N];                   /* one delayed copy of an earlier arrival */
bool alive[N] = true;

bool came[N * (G + 2)];             /* ghosts: who really came to each generation ... */
bool told_pass[G + 2], told_fail[G + 2];    /* ... and what any rank was ever told */

byte troubles;                      /* so far: deaths, losses, copies, failures, restarts of the coordinator, in any mix */

#define CAME(r, g) came[(r) * (G + 2) + (g)]
#if N == 3
#define LAST(x)
#define AND_LAST(x)
#define OR_LAST(x)
#else
#define LAST(x) ; x
#define AND_LAST(x) && x
#define OR_LAST(x) || x
#endif
#define EVERYBODY_CAME (CAME(0, open) && CAME(1, open) && CAME(2, open) AND_LAST(CAME(3, open)))
#ifdef LIVENESS
bool returned;                      /* rank 0 has the answer of the last generation */
#define RETURNED(me, g) if :: me == 0 && g > G -> returned = true :: else fi
#else
#define RETURNED(me, g) skip
#endif
#define ALL_ARRIVED (arrived[0] && arrived[1] && arrived[2] AND_LAST(arrived[3]))
#define ANY_ARRIVED (arrived[0] || arrived[1] || arrived[2] OR_LAST(arrived[3]))
#define ALL_ALIVE (alive[0] && alive[1] && alive[2] AND_LAST(alive[3]))
#define IS_OPEN (open <= G && decided[open] == NONE)

inline forget_arrivals() { arrived[0] = false; arrived[1] = false; arrived[2] = false LAST(arrived[3] = false) }

/* The one place that decides. After it the next generation is open, also after a failure. */
inline decide(outcome) {
  assert(decided[open] == NONE);                       /* I2 */
  assert(outcome != PASS || EVERYBODY_CAME);     /* I1 */
  decided[open] = outcome;
  forget_arrivals();
  open++
}

/* An arrival reaches the coordinator. One for a decided generation is answered from the record: nothing happens here. */
inline deliver(r, arrival) {
#ifdef NO_GENERATIONS
  if :: IS_OPEN -> if :: arrival > FAILED -> decide(FAIL) :: else -> arrived[r] = true fi :: else fi;
#else
  if
  :: IS_OPEN && arrival == open -> arrived[r] = true
  :: IS_OPEN && arrival == open + FAILED -> decide(FAIL)
  :: else
  fi;
#endif
  if :: IS_OPEN && ALL_ARRIVED -> decide(PASS) :: else fi
}

/* A rank's call returns. */
inline learn(g, outcome) {
  if :: outcome == PASS -> told_pass[g] = true :: else -> told_fail[g] = true fi;
  assert(!(told_pass[g] && told_fail[g]))              /* I3 */
}

proctype Rank(byte me) {
  byte g = 1;
  do
  :: g > G -> break
  :: d_step { g <= G && slot[me] == 0 && decided[g] == NONE -> slot[me] = g; CAME(me, g) = true }
  :: d_step { g <= G && slot[me] == 0 && decided[g] == NONE && !CAME(me, g) && troubles < TROUBLES -> troubles++; slot[me] = g + FAILED }
  :: d_step { g <= G && decided[g] != NONE -> learn(g, decided[g]); g++; RETURNED(me, g) }
#ifdef MEMBER_TIMEOUT
  :: d_step { g <= G && CAME(me, g) && decided[g] == NONE -> learn(g, FAIL); g++ }
#endif
  :: d_step { troubles < TROUBLES -> troubles++; alive[me] = false }; break
#ifdef LIVENESS
  :: d_step { me != 0 && troubles < TROUBLES -> troubles++ }; false     /* frozen, and nobody notices */
#endif
  od
}

/* What the network does with what rank r has sent: at most one arrival and one copy are on their way. */
proctype Link(byte r) {
endless:
  do
  :: d_step { slot[r] != 0 -> deliver(r, slot[r]); slot[r] = 0 }
  :: d_step { slot[r] != 0 && troubles < TROUBLES -> troubles++; repeated[r] = slot[r]; deliver(r, slot[r]); slot[r] = 0 }
  :: d_step { slot[r] != 0 && troubles < TROUBLES -> troubles++; slot[r] = 0 }
  :: d_step { repeated[r] != 0 -> deliver(r, repeated[r]); repeated[r] = 0 }
  od
}

/* What the coordinator decides without an arrival. */
proctype Clock() {
endless:
  do
#ifndef NO_DEADLINE
  :: d_step { IS_OPEN && ANY_ARRIVED -> decide(FAIL) }          /* the deadline */
#endif
  :: d_step { IS_OPEN && !ALL_ALIVE -> decide(FAIL) }           /* news of a death */
  od
}

/* The coordinator loses what it knows of arrivals. */
proctype Trouble() {
endless:
  do
  :: d_step { troubles < TROUBLES -> troubles++; forget_arrivals();
#ifdef VOLATILE
       decided[1] = NONE; decided[2] = NONE; open = 1
#endif
     }
  od
}

init {
  atomic {
    run Clock(); run Trouble();
    run Link(0); run Link(1); run Link(2) LAST(run Link(3));
    run Rank(0); run Rank(1); run Rank(2) LAST(run Rank(3))
  }
}

#ifdef LIVENESS
/* I4: whoever came to the last generation and lives gets an answer, as long as every process gets its turns. */
ltl I4 { [] ((CAME(0, G) && alive[0]) -> <> (returned || !alive[0])) }
#endif
