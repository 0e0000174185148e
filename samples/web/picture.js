"use strict";

const SIDE = 28;
const BOX = 20; // MNIST's digits fill a box of 20 x 20 pixels
const MIDDLE = 14; // and have their centre of mass on this row and column

/**
 * A drawing as MNIST would hold it: `SIDE` x `SIDE` whole numbers from 0 to 255; null when nothing is drawn.
 * `ink` holds 0 to 255 for each of `width` x `height` places.
 */
function centred(ink, width, height) {
  const bounds = inked(ink, width, height);
  if (!bounds) return null;
  const { left, top, right, bottom } = bounds;
  const longest = Math.max(right - left, bottom - top);
  const columns = shares(right - left, longest);
  const rows = shares(bottom - top, longest);
  const box = new Float64Array(BOX * BOX);
  for (let y = top; y < bottom; y++) {
    for (let x = left; x < right; x++) {
      const amount = ink[y * width + x];
      if (!amount) continue;
      for (const [row, high] of rows[y - top]) {
        for (const [column, wide] of columns[x - left]) box[row * BOX + column] += amount * high * wide;
      }
    }
  }
  return placed(box, columns.at(-1).at(-1)[0] + 1, rows.at(-1).at(-1)[0] + 1);
}

/** The smallest rectangle around the ink, its right and bottom outside; null when there is none. */
function inked(ink, width, height) {
  let left = width, top = height, right = 0, bottom = 0;
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      if (!ink[y * width + x]) continue;
      left = Math.min(left, x);
      right = Math.max(right, x + 1);
      top = Math.min(top, y);
      bottom = y + 1;
    }
  }
  return right ? { left, top, right, bottom } : null;
}

/** For each of `length` places the [pixel, share of that pixel] it covers when `longest` places become `BOX` pixels. */
function shares(length, longest) {
  return Array.from({ length }, (_, place) => {
    const begin = (place * BOX) / longest, end = ((place + 1) * BOX) / longest;
    const covered = [];
    for (let pixel = Math.floor(begin); pixel < end; pixel++) {
      covered.push([pixel, Math.min(end, pixel + 1) - Math.max(begin, pixel)]);
    }
    return covered;
  });
}

/** `wide` x `high` pixels of the box moved whole, so that the centre of mass is where MNIST has it and nothing is cut off. */
function placed(box, wide, high) {
  let sum = 0, across = 0, down = 0;
  box.forEach((amount, i) => {
    sum += amount;
    across += amount * (i % BOX);
    down += amount * Math.floor(i / BOX);
  });
  const within = (shift, size) => Math.min(Math.max(Math.round(shift), 0), SIDE - size);
  const left = within(MIDDLE - across / sum, wide), top = within(MIDDLE - down / sum, high);
  const picture = new Uint8ClampedArray(SIDE * SIDE);
  for (let y = 0; y < high; y++) {
    for (let x = 0; x < wide; x++) picture[(top + y) * SIDE + left + x] = Math.round(box[y * BOX + x]);
  }
  return picture;
}
