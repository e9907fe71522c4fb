/** A line of the picture: goodput at each offered load, both as multiples of the capacity. */
export interface Curve {
  readonly name: string;
  readonly points: readonly { readonly load: number; readonly goodput: number }[];
}

const size = { width: 640, height: 360 };
const plot = { left: 60, right: 500, top: 30, bottom: 300 };
const colours = ["#5b7a4a", "#c8553d", "#2f6fa8"];

/** Goodput over offered load, as SVG. */
export function picture(curves: readonly Curve[], loads: readonly number[]): string {
  const most = Math.max(...loads);
  const x = (load: number) => (plot.left + (load / most) * (plot.right - plot.left)).toFixed(1);
  const y = (goodput: number) => (plot.bottom - (goodput / 1.2) * (plot.bottom - plot.top)).toFixed(1);
  const lines = curves.map(({ name, points }, index) => {
    const colour = colours[index % colours.length]!;
    const path = points.map(({ load, goodput }) => `${x(load)},${y(goodput)}`).join(" ");
    const dots = points.map(({ load, goodput }) => `<circle cx="${x(load)}" cy="${y(goodput)}" r="3.5" fill="${colour}"/>`).join("");
    const last = points.at(-1)!;
    const label = `<text x="${plot.right + 10}" y="${Number(y(last.goodput)) + 4}" fill="${colour}">${name}</text>`;
    return `  <polyline points="${path}" fill="none" stroke="${colour}" stroke-width="2"/>${dots}${label}`;
  });
  const ticksX = loads.map((load) => `  <text x="${x(load)}" y="${plot.bottom + 20}" text-anchor="middle">${load}×</text>`);
  const ticksY = [0, 0.5, 1].map((part) => {
    const rule = `<line x1="${plot.left}" x2="${plot.right}" y1="${y(part)}" y2="${y(part)}" stroke="#d8e0d2"/>`;
    return `  ${rule}<text x="${plot.left - 10}" y="${Number(y(part)) + 4}" text-anchor="end">${part * 100} %</text>`;
  });
  const label = "Goodput over offered load, both as multiples of the fleet's capacity";
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${size.width} ${size.height}" role="img" aria-label="${label}" font-family="system-ui, sans-serif" font-size="13" fill="#22301a">`,
    `  <rect width="${size.width}" height="${size.height}" rx="10" fill="#fcfdfb"/>`,
    ...ticksY,
    ...ticksX,
    `  <text x="${plot.left}" y="18" font-size="12" fill="#55654b">answered in full within the deadline</text>`,
    `  <text x="${(plot.left + plot.right) / 2}" y="${plot.bottom + 44}" text-anchor="middle" font-size="12" fill="#55654b">offered load</text>`,
    ...lines,
    "</svg>\n",
  ].join("\n");
}
