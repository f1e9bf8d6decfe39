// Prints the outlines of countries and of the states of the USA as api/html/data/outlines.json has them.
//
// Each area, by its code of ISO 3166, is {main, parts}: the parts are [west, north, east, south, path], the largest first, and the
// first `main` of them make up most of the area. All numbers are in hundredths of a degree, eastward and southward as SVG counts,
// and a part that crosses the 180th meridian goes on beyond it.
import { readFileSync } from "node:fs";
import { iso31661NumericToAlpha2, iso31662 } from "iso-3166";
import { feature } from "topojson-client";
import { planarTriangleArea, presimplify, simplify } from "topojson-simplify";

const MAIN = 0.8;
// In square degrees at the equator: a point is left out that makes less of a difference, and a part that is smaller.
const STATES = { detail: 0.001, least: 0.02 };
const ALASKA = { detail: 0.01, least: 0.1 };
const COUNTRIES = { detail: 0.05, least: 0.3 };
// The USA are drawn behind several of their states, on a map that shows most of them.
const NATION = { detail: 0.03, least: 0.5 };
const ANTARCTICA = "AQ";

const read = (name) => JSON.parse(readFileSync(new URL(`node_modules/${name}`, import.meta.url)));
const radians = (degrees) => (degrees * Math.PI) / 180;
const sum = (numbers) => numbers.reduce((total, number) => total + number, 0);

// A degree of longitude is shorter far from the equator.
const weight = (triangle) => planarTriangleArea(triangle) * Math.cos(radians(triangle[1][1])) ** 2;
const size = (ring) =>
  (Math.abs(sum(ring.map(([x, y], n) => x * ring.at(n - 1)[1] - ring.at(n - 1)[0] * y))) / 2) * Math.cos(radians(ring[0][1]));

// The atlases are stitched: a ring jumps from one side of the 180th meridian to the other.
function unwrapped(ring) {
  let turns = 0;
  return ring.map(([x, y], n) => [x + 360 * (turns -= n ? Math.round((x - ring[n - 1][0]) / 360) : 0), y]);
}

function bounds(ring) {
  const [xs, ys] = [0, 1].map((axis) => ring.map((point) => point[axis]));
  return [Math.min(...xs), Math.min(...ys), Math.max(...xs), Math.max(...ys)];
}

const middle = (ring) => (bounds(ring)[0] + bounds(ring)[2]) / 2;

function path(ring) {
  const steps = ring.map(([x, y], n) => (n ? [x - ring[n - 1][0], y - ring[n - 1][1]] : [x, y]));
  const [start, ...others] = steps.filter(([x, y], n) => !n || x || y).map(([x, y]) => `${x} ${y}`);
  return `M${start}l${others.slice(0, -1).join(" ")}z`.replaceAll(" -", "-");
}

function polygons(geometry, least) {
  const all = geometry.type === "Polygon" ? [geometry.coordinates] : geometry.coordinates;
  return all.map((rings) => rings.map(unwrapped).filter((ring) => size(ring) > least)).filter((rings) => rings.length);
}

function outline(geometry, original, least) {
  let kept = polygons(geometry, least);
  // A small country keeps its largest part as it is.
  if (!kept.length) kept = polygons(original, 0).sort(([a], [b]) => size(b) - size(a)).slice(0, 1);
  kept.sort(([a], [b]) => size(b) - size(a));
  const sizes = kept.map(([ring]) => size(ring));
  const parts = kept.map((rings) => {
    const aside = 360 * Math.round((middle(kept[0][0]) - middle(rings[0])) / 360);
    const moved = rings.map((ring) => ring.map(([x, y]) => [Math.round(100 * (x + aside)), Math.round(-100 * y)]));
    return [...bounds(moved[0]), moved.map(path).join("")];
  });
  return { main: sizes.filter((_, n) => sum(sizes.slice(0, n)) < MAIN * sum(sizes)).length, parts };
}

function outlines(topology, name, { detail, least }, code) {
  const [some, all] = [simplify(presimplify(topology, weight), detail), topology].map(
    (one) => feature(one, one.objects[name]).features,
  );
  // Areas without a code are disputed or nobody's; the first area of a code is the country, a second one an outlying part of it.
  return some
    .map((area, n) => [code(area), outline(area.geometry, all[n].geometry, least)])
    .filter(([one], n, rows) => one && rows.findIndex(([other]) => other === one) === n);
}

const usps = new Map(iso31662.filter(({ parent }) => parent === "US").map(({ code, name }) => [name, code]));
const state = ({ properties }) => usps.get(properties.name);
const country = ({ id, properties }) => iso31661NumericToAlpha2[id] ?? (properties.name === "Kosovo" ? "XK" : undefined);
const [states, countries] = [read("us-atlas/states-10m.json"), read("world-atlas/countries-50m.json")];
const areas = [
  ...outlines(countries, "countries", COUNTRIES, country).filter(([code]) => ![ANTARCTICA, "US"].includes(code)),
  ...outlines(states, "nation", NATION, () => "US"),
  ...outlines(states, "states", STATES, state).filter(([code]) => code !== "US-AK"),
  ...outlines(states, "states", ALASKA, state).filter(([code]) => code === "US-AK"),
].sort(([a], [b]) => (a < b ? -1 : 1));

const packaged = (name) => `npm's ${name} ${read(`${name}/package.json`).version}`;
const head = {
  origin:
    `The USA and its states: cartographic boundary files of the U.S. Census Bureau, 2017, by ${packaged("us-atlas")}. Other ` +
    `countries: Natural Earth 4.1, 1:50 million, by ${packaged("world-atlas")}. Simplified by \`make outlines\`.`,
  licence: "The data of both is in the public domain; both packages have the ISC licence (Copyright 2013-2019 Michael Bostock).",
};
const lines = areas.map(([code, area]) => `${JSON.stringify(code)}:${JSON.stringify(area)}`);
console.log(`${JSON.stringify(head).slice(0, -1)},\n"areas":{\n${lines.join(",\n")}\n}}`);
