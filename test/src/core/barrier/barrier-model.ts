/** What a barrier with one name should do, said as shortly as possible; knows nothing of the machine's state. */

/** The short model: what comes of each event is a list of words. */
export class BarrierModel {
  next = 1;
  aborted = false;
  readonly gone = new Set<number>();
  readonly arrived = new Map<number, string>();
  readonly decided: ("pass" | "fail")[] = [];
  readonly joinedAfter: number[];
  readonly incarnations: number[];

  constructor(worldSize: number) {
    this.joinedAfter = new Array<number>(worldSize).fill(0);
    this.incarnations = new Array<number>(worldSize).fill(1);
  }

  arrive(rank: number, generation: number, digest: string, fails: boolean): string[] {
    if (this.gone.has(rank)) return ["refuse fenced"];
    if (generation < this.next) {
      if (this.next - generation > 64) return ["refuse out-of-range"];
      if (generation <= (this.joinedAfter[rank] ?? 0)) return ["refuse before-join"];
      return [`reply ${this.decided[generation - 1]}`];
    }
    if (generation > this.next) return [...this.decide("fail"), "refuse ahead"];
    const agrees = this.arrived.size === 0 || [...this.arrived.values()][0] === digest;
    if (this.aborted || this.gone.size > 0 || fails || !agrees) return this.decide("fail");
    this.arrived.set(rank, digest);
    return this.arrived.size === this.incarnations.length ? this.decide("pass") : [];
  }

  lose(rank: number): string[] {
    if (this.gone.has(rank)) return [];
    this.gone.add(rank);
    return this.arrived.size > 0 ? this.decide("fail") : [];
  }

  rejoin(rank: number): string[] {
    const words = !this.gone.has(rank) && this.arrived.size > 0 ? this.decide("fail") : [];
    this.incarnations[rank] = (this.incarnations[rank] ?? 0) + 1;
    this.joinedAfter[rank] = this.decided.length;
    this.gone.delete(rank);
    return words;
  }

  abort(): string[] {
    if (this.aborted) return [];
    this.aborted = true;
    return this.arrived.size > 0 ? this.decide("fail") : [];
  }

  timeout(): string[] {
    return this.arrived.size > 0 ? this.decide("fail") : [];
  }

  decide(outcome: "pass" | "fail"): string[] {
    this.decided.push(outcome);
    this.arrived.clear();
    this.next += 1;
    return [`decide ${outcome}`];
  }
}
