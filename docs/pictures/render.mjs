// Draws messages as Slack would show them: node render.mjs MESSAGES.json FOLDER
//
//     {name: what chat.postMessage takes} --slack-blocks-to-jsx--> HTML --Chromium--> FOLDER/name.png
//
// It is other people's imitation of Slack's looks, not Slack: colours, wrapping and the width of tables differ a little.
// Fonts come along as packages, so that every machine draws the same.

import { readFile, writeFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { join } from "node:path";
import { pathToFileURL } from "node:url";

import chromium from "@sparticuz/chromium";
import puppeteer from "puppeteer-core";
import { createElement } from "react";
import { renderToStaticMarkup } from "react-dom/server";

// Its module for `import` names files of other packages without their endings, which only bundlers accept.
const { Message } = createRequire(import.meta.url)("slack-blocks-to-jsx");

// What is drawn must not change with the day or the place.
process.env.TZ = "UTC";
const NOW = new Date("2026-11-23T06:29:40Z");

const [messages, folder] = process.argv.slice(2);
const WIDTH = 760;
const SHEETS = [
  "slack-blocks-to-jsx/dist/style.css",
  "@fontsource/lato/400.css",
  "@fontsource/lato/700.css",
  "@fontsource/lato/900.css",
  "@fontsource/dejavu-mono/400.css",
  "twemoji-colr-font/twemoji.css",
];
// The app's picture: a grey square with an arrow, so that none has to be fetched.
const LOGO =
  "data:image/svg+xml," +
  encodeURIComponent(
    '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 36 36"><rect width="36" height="36" fill="#3f4a5a"/>' +
      '<path d="M10 20a8 8 0 1 1 4 5M14 30v-5h-5" stroke="#fff" stroke-width="3" fill="none"/></svg>',
  );
const NAMED = { users: [{ id: "U0123ABCD", name: "ana" }], user_groups: [{ id: "S0123ABCD", name: "on-call" }] };

// It takes `verbatim` for "read no markup"; for Slack it means only that plain words are not made into links.
function read(block) {
  if (block.type !== "context") return block;
  return { ...block, elements: block.elements.map(({ verbatim, ...element }) => element) };
}

function page(posted) {
  const links = SHEETS.map((sheet) => `<link rel="stylesheet" href="node_modules/${sheet}">`).join("");
  const message = createElement(Message, {
    blocks: posted.blocks.map(read),
    name: "syncd",
    logo: LOGO,
    time: NOW,
    theme: "light",
    data: NAMED,
    // Slack shows the time in the reader's own zone; ours is UTC, as in the words that stand in for it.
    hooks: { date: ({ fallback }) => fallback },
  });
  return `<!doctype html><meta charset="utf-8">${links}<style>
    body { margin: 0; padding: 12px 16px; background: #fff; }
    /* Slack keeps blocks apart, which this imitation does not: so the sections of a long message are told apart. */
    .slack_blocks_to_jsx--block_wrapper + .slack_blocks_to_jsx--block_wrapper { margin-top: 8px; }
    * { font-family: Lato, Twemoji, sans-serif !important; }
    code, pre, code *, pre * { font-family: "DejaVu Mono", Twemoji, monospace !important; }
  </style>${renderToStaticMarkup(message)}`;
}

const browser = await puppeteer.launch({
  executablePath: await chromium.executablePath(),
  args: [...chromium.args, "--allow-file-access-from-files"],
  headless: "shell",
});
try {
  const tab = await browser.newPage();
  await tab.setViewport({ width: WIDTH, height: 100 });
  for (const [name, posted] of Object.entries(JSON.parse(await readFile(messages, "utf8")))) {
    await writeFile("page.html", page(posted));
    await tab.goto(pathToFileURL("page.html"), { waitUntil: "load" });
    await tab.evaluate(() => document.fonts.ready);
    await tab.screenshot({ path: join(folder, `${name}.png`), fullPage: true });
    console.log(`${name}.png`);
  }
} finally {
  await browser.close();
}
