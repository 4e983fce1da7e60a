// Makes a PNG small: 256 colours are enough for pages. A function of the image's base64, which returns base64.
async (source) => {
  const bytes = Uint8Array.from(atob(source), (character) => character.charCodeAt(0));
  const image = await createImageBitmap(new Blob([bytes], { type: "image/png" }));
  const { width, height } = image;
  const drawing = new OffscreenCanvas(width, height).getContext("2d");
  drawing.drawImage(image, 0, 0);
  const pixels = new Uint32Array(drawing.getImageData(0, 0, width, height).data.buffer);

  const counts = new Map();
  for (const pixel of pixels) counts.set(pixel, (counts.get(pixel) ?? 0) + 1);
  const channels = (pixel) => [pixel & 255, (pixel >> 8) & 255, (pixel >> 16) & 255];
  const palette = [...counts].sort((one, other) => other[1] - one[1]).slice(0, 256).map(([pixel]) => channels(pixel));
  const distance = (one, other) => one.reduce((sum, value, place) => sum + (value - other[place]) ** 2, 0);
  const nearest = (pixel) => {
    const wanted = channels(pixel);
    let best = 0;
    palette.forEach((colour, place) => { if (distance(colour, wanted) < distance(palette[best], wanted)) best = place; });
    return best;
  };
  const places = new Map([...counts.keys()].map((pixel) => [pixel, nearest(pixel)]));
  const rows = new Uint8Array((width + 1) * height);
  pixels.forEach((pixel, place) => { rows[place + Math.floor(place / width) + 1] = places.get(pixel); });

  const table = Array.from({ length: 256 }, (_, value) => {
    for (let bit = 0; bit < 8; bit += 1) value = value & 1 ? (value >>> 1) ^ 0xedb88320 : value >>> 1;
    return value >>> 0;
  });
  const chunk = (name, content) => {
    const body = [...new TextEncoder().encode(name), ...content];
    const sum = (body.reduce((so_far, byte) => table[(so_far ^ byte) & 255] ^ (so_far >>> 8), 0xffffffff) ^ 0xffffffff) >>> 0;
    return [...word(content.length), ...body, ...word(sum)];
  };
  const word = (value) => [24, 16, 8, 0].map((shift) => (value >>> shift) & 255);
  const deflated = new Uint8Array(await new Response(new Blob([rows]).stream().pipeThrough(new CompressionStream("deflate"))).arrayBuffer());
  const png = [
    137, 80, 78, 71, 13, 10, 26, 10,
    ...chunk("IHDR", [...word(width), ...word(height), 8, 3, 0, 0, 0]),
    ...chunk("PLTE", palette.flat()), ...chunk("IDAT", deflated), ...chunk("IEND", []),
  ];
  let text = "";
  for (const byte of png) text += String.fromCharCode(byte);
  return btoa(text);
}
