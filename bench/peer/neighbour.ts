import { spawn } from "node:child_process";

/** A process that keeps one core busy until it is stopped. */
export class Neighbour implements Disposable {
  readonly #process = spawn(process.execPath, ["-e", "for (;;) Math.random();"], { stdio: "ignore" });
  readonly #stop = (): void => void this.#process.kill("SIGKILL");

  constructor() {
    process.on("exit", this.#stop);
  }

  [Symbol.dispose](): void {
    process.off("exit", this.#stop);
    this.#stop();
  }
}
