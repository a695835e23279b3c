// Numbers and times as people read them. Pure.

// What is not quite nothing is not shown as nothing.
export function percent(value, digits = 1) {
  if (value === null || value === undefined || Number.isNaN(value)) {
    return "–";
  }
  const rounded = Number(value.toFixed(digits));
  return rounded === 0 && value > 0 ? `< ${10 ** -digits} %` : `${rounded} %`;
}

export function count(value) {
  return value.toLocaleString("en");
}

export function some(value, one, many) {
  return `${count(value)} ${value === 1 ? one : many}`;
}

// Binary units, as the configuration has them.
export function bytes(value) {
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let unit = 0;
  while (value >= 1024 && unit < units.length - 1) {
    value /= 1024;
    unit++;
  }
  return `${Number(value.toFixed(value < 10 ? 1 : 0))} ${units[unit]}`;
}

export function rate(value) {
  if (value === null || Number.isNaN(value)) {
    return "–";
  }
  return value >= 99.95 ? count(Math.round(value)) : value.toFixed(1);
}

export function milliseconds(seconds) {
  if (seconds === null || Number.isNaN(seconds)) {
    return "–";
  }
  const ms = seconds * 1000;
  return ms >= 999.5 ? `${seconds.toFixed(2)} s` : ms >= 9.95 ? `${Math.round(ms)} ms` : `${ms.toFixed(1)} ms`;
}

export function duration(seconds) {
  if (seconds === null || seconds === undefined) {
    return "–";
  }
  if (seconds < 59.95) {
    return `${seconds.toFixed(1)} s`;
  }
  const whole = Math.round(seconds);
  return whole < 3600 ? `${Math.floor(whole / 60)} min ${whole % 60} s`
    : `${count(Math.floor(whole / 3600))} h ${Math.floor(whole % 3600 / 60)} min`;
}

// "2026-11-23T12:00:00.123Z" in the reader's own zone, to the second.
export function moment(text) {
  const time = new Date(text);
  if (Number.isNaN(time.getTime())) {
    return text;
  }
  const two = (number) => String(number).padStart(2, "0");
  return `${time.getFullYear()}-${two(time.getMonth() + 1)}-${two(time.getDate())} ` +
    `${two(time.getHours())}:${two(time.getMinutes())}:${two(time.getSeconds())}`;
}

// The zone of all moments on the page, as the reader knows it.
export function zone() {
  return Intl.DateTimeFormat().resolvedOptions().timeZone;
}

export function words(name) {
  return name === null || name === undefined ? "" : name.replaceAll("_", " ");
}

const STATUSES = {
  in_progress: "In progress", success: "Success", failed: "Failed", superseded: "Superseded", dry_run: "Dry run",
};

const TRIGGERS = {build: "Build failure", drill: "Drill", manual: "Manual"};

export function statusText(status) {
  return STATUSES[status] ?? words(status);
}

export function reasonText(record) {
  const trigger = TRIGGERS[record.trigger];
  return trigger === undefined ? record.reason : `${trigger}: ${record.reason}`;
}
