// Makes the list of ISBNs a target for dropped files, and offers the camera as a scanner where the browser can do that.
// The page works without this script: a file can be chosen, and a photo of a barcode is read by the server.

const lines = document.getElementById("lines");
const file = document.getElementById("file");
const photo = document.getElementById("photo");
const check = document.getElementById("check");
const dialog = document.getElementById("scanner");
const video = dialog.querySelector("video");
const status = document.getElementById("scanner-status");

const PAUSE = 150; // ms between two looks at the picture
const SAME_AGAIN = 1500; // ms without a barcode after which the same one counts again

let stream = null;
let lastSeen = { isbn: "", time: 0 };

// ---------------------------------------------------------------- dropped files

function holdsFile(event) {
  return [...event.dataTransfer.types].includes("Files");
}

lines.addEventListener("dragover", (event) => {
  if (holdsFile(event)) {
    event.preventDefault();
    lines.classList.add("border-3");
  }
});

lines.addEventListener("dragleave", () => lines.classList.remove("border-3"));

lines.addEventListener("drop", (event) => {
  lines.classList.remove("border-3");
  if (!holdsFile(event)) return;
  event.preventDefault();
  const isPhoto = event.dataTransfer.files[0]?.type.startsWith("image/");
  (isPhoto ? photo : file).files = event.dataTransfer.files;
  lines.form.requestSubmit(check);
});

document.getElementById("drop-hint").hidden = false;

// ---------------------------------------------------------------- the scanner

async function canScan() {
  if (!("BarcodeDetector" in window) || !navigator.mediaDevices?.getUserMedia) return false;
  if (document.featurePolicy && !document.featurePolicy.allowsFeature("camera")) return false;
  return (await BarcodeDetector.getSupportedFormats()).includes("ean_13");
}

// Count one more copy of a book: in its own line if the scanner has written one, else in a new line.
function addCopy(isbn) {
  const typed = lines.value.split("\n").filter((line) => line.trim());
  const own = new RegExp(`^${isbn}( ([0-9]{1,4}))?$`);
  const index = typed.findIndex((line) => own.test(line.trim()));
  const copies = index < 0 ? 1 : Number(own.exec(typed[index].trim())[2] ?? 1) + 1;
  typed.splice(index < 0 ? typed.length : index, 1, `${isbn} ${copies}`);
  lines.value = `${typed.join("\n")}\n`;
  return copies;
}

function isIsbn(code) {
  return /^97[89][0-9]{10}$/.test(code);
}

// A barcode stays in the picture for many looks: it counts once until it has been out of the picture for a while.
function countBarcode(isbn) {
  const now = performance.now();
  const isNew = isbn !== lastSeen.isbn || now - lastSeen.time > SAME_AGAIN;
  lastSeen = { isbn, time: now };
  if (!isNew) return;
  const copies = addCopy(isbn);
  status.textContent = `${isbn}: ${copies} ${copies === 1 ? "copy" : "copies"}`;
  navigator.vibrate?.(80);
}

async function scanUntilClosed(detector, opened) {
  while (stream === opened) {
    if (video.readyState >= HTMLMediaElement.HAVE_CURRENT_DATA) {
      const found = await detector.detect(video).catch(() => []);
      const isbns = found.map((code) => code.rawValue).filter(isIsbn);
      if (stream === opened) isbns.slice(0, 1).forEach(countBarcode);
    }
    await new Promise((resolve) => setTimeout(resolve, PAUSE));
  }
}

async function openScanner() {
  dialog.showModal();
  status.textContent = "Starting the camera.";
  try {
    const opened = await navigator.mediaDevices.getUserMedia({ video: { facingMode: "environment" } });
    if (!dialog.open) return opened.getTracks().forEach((track) => track.stop());
    stream = opened;
    video.srcObject = opened;
    await video.play();
    status.textContent = "Hold the barcode of a book in front of the camera.";
    await scanUntilClosed(new BarcodeDetector({ formats: ["ean_13"] }), opened);
  } catch (error) {
    closeCamera();
    status.textContent = "The camera cannot be used. Allow it for this page in your browser, or take a photo instead.";
  }
}

function closeCamera() {
  stream?.getTracks().forEach((track) => track.stop());
  stream = null;
  video.srcObject = null;
  lastSeen = { isbn: "", time: 0 };
}

document.getElementById("scanner-open").addEventListener("click", openScanner);
document.getElementById("scanner-close").addEventListener("click", () => dialog.close());
dialog.addEventListener("close", closeCamera); // also after Escape

canScan().then((can) => {
  document.getElementById("scanner-offer").hidden = !can;
});
