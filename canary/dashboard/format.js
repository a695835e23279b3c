// Numbers and times as people read them. Pure.

export function percent(value, digits = 1) {
  return value === null || value === undefined || Number.isNaN(value) ? "–" : `${Number(value.toFixed(digits))} %`;
}

export function rate(value) {
  if (value === null || Number.isNaN(value)) {
    return "–";
  }
  return value >= 100 ? Math.round(value).toLocaleString("en") : value.toFixed(1);
}

export function milliseconds(seconds) {
  if (seconds === null || Number.isNaN(seconds)) {
    return "–";
  }
  const ms = seconds * 1000;
  return ms >= 1000 ? `${seconds.toFixed(2)} s` : ms >= 10 ? `${Math.round(ms)} ms` : `${ms.toFixed(1)} ms`;
}

export function duration(seconds) {
  if (seconds === null || seconds === undefined) {
    return "–";
  }
  return seconds < 60 ? `${seconds.toFixed(1)} s` : `${Math.floor(seconds / 60)} min ${Math.round(seconds % 60)} s`;
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
