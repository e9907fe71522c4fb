/** Times of a Poisson process, in milliseconds from 0 to `millis`: requests that come whether others are done or not. */
export function arrivals(perSecond: number, millis: number, random: () => number): number[] {
  const times: number[] = [];
  for (let at = 0; ; ) {
    at += (-Math.log(1 - random()) / perSecond) * 1000;
    if (at >= millis) return times;
    times.push(at);
  }
}
