/* The least that loading by mapping can cost: ranks are processes that wait for a start signal, map the file copy-on-write and read one element
 * of every 4 KiB page. No runtime, no checkpoint, no barrier but the start. Arguments: path, ranks. Prints one JSON line. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <linux/futex.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { RANKS_MAX = 256, PAGE_BYTES = 4096 };

struct shared {
  atomic_int go, ready, touched;
  double done_ms[RANKS_MAX], sum[RANKS_MAX];
  long pss_kib[RANKS_MAX];
};

static double now_ms(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return now.tv_sec * 1e3 + now.tv_nsec / 1e6;
}

static long pss_kib(void) {
  char line[256];
  long kib = 0;
  FILE *rollup = fopen("/proc/self/smaps_rollup", "r");
  while (rollup && fgets(line, sizeof line, rollup))
    if (!strncmp(line, "Pss:", 4)) kib = atol(line + 4);
  if (rollup) fclose(rollup);
  return kib;
}

static void run_rank(struct shared *shared, const char *path, int rank, int ranks) {
  long before = pss_kib();
  atomic_fetch_add(&shared->ready, 1);
  while (!atomic_load(&shared->go)) syscall(SYS_futex, &shared->go, FUTEX_WAIT, 0, NULL, NULL, 0);
  int fd = open(path, O_RDONLY);
  struct stat stat;
  if (fd < 0 || fstat(fd, &stat)) _exit(1);
  char *bytes = mmap(NULL, stat.st_size, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);
  if (bytes == MAP_FAILED) _exit(1);
  double sum = 0;
  for (off_t at = 0; at + 4 <= stat.st_size; at += PAGE_BYTES) sum += *(float *)(bytes + at);
  shared->sum[rank] = sum;
  shared->done_ms[rank] = now_ms();
  atomic_fetch_add(&shared->touched, 1);
  while (atomic_load(&shared->touched) < ranks) usleep(1000);
  shared->pss_kib[rank] = pss_kib() - before;
  /* Nobody unmaps before all have counted. */
  atomic_fetch_add(&shared->ready, 1);
  while (atomic_load(&shared->ready) < 2 * ranks) usleep(1000);
  _exit(0);
}

int main(int count, char **arguments) {
  int ranks = count == 3 ? atoi(arguments[2]) : 0;
  if (ranks < 1 || ranks > RANKS_MAX) return 2;
  struct shared *shared = mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  for (int rank = 0; rank < ranks; rank += 1)
    if (fork() == 0) run_rank(shared, arguments[1], rank, ranks);
  while (atomic_load(&shared->ready) < ranks) usleep(1000);
  usleep(20000);
  double start_ms = now_ms(), end_ms = 0;
  long kib = 0;
  atomic_store(&shared->go, 1);
  syscall(SYS_futex, &shared->go, FUTEX_WAKE, RANKS_MAX, NULL, NULL, 0);
  for (int rank = 0; rank < ranks; rank += 1) {
    int status;
    if (wait(&status) < 0 || status != 0) return 1;
  }
  for (int rank = 0; rank < ranks; rank += 1) {
    if (shared->done_ms[rank] > end_ms) end_ms = shared->done_ms[rank];
    kib += shared->pss_kib[rank];
  }
  printf("{\"ms\": %.3f, \"pssBytes\": %ld, \"peakRssBytes\": 0}\n", end_ms - start_ms, kib * 1024);
  return 0;
}
