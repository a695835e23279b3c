/* The forms differ in what stands around the same parts, so each is a picture that the text is laid
 * over: letters of the picture take a part, all else must be there as it is. Days are counted from
 * the first of March, as then the day that a leap year adds is the last of its year (the method is
 * folklore; see Hinnant, "chrono-Compatible Low-Level Date Algorithms"). */
#include "proxy/http/http_date.h"

#include "proxy/base/check.h"

enum {
    MONTHS = 12,
    YEAR_MIN = 1600, /* the Gregorian calendar's, and a multiple of 400 */
    YEARS_AHEAD_MAX = 50,
    CENTURY = 100,
    SECONDS_PER_DAY = 24 * 60 * 60,
    DAYS_PER_400_YEARS = 146097,
    EPOCH_DAY = 135080 /* 1970-01-01, counted from 1600-03-01 */
};

struct parts {
    int64_t year, month, day, hour, minute, second;
};

static bool read_digits(const char *text, size_t size, bool may_be_blank, int64_t *ret_value)
{
    int64_t value = 0;
    for (size_t i = 0; i < size; i++) {
        bool is_blank = may_be_blank && i + 1 < size && text[i] == ' ';
        if (!is_blank && (text[i] < '0' || text[i] > '9')) {
            return false;
        }
        value = is_blank ? 0 : value * 10 + (text[i] - '0');
    }
    *ret_value = value;
    return true;
}

static bool read_month(const char *text, int64_t *ret_month)
{
    static const char names[MONTHS][4] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                          "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
    for (int i = 0; i < MONTHS; i++) {
        if (memcmp(names[i], text, 3) == 0) {
            *ret_month = i + 1;
            return true;
        }
    }
    return false;
}

/* DD day, dd day with a blank for its first digit, NNN month's name, YYYY, YY, HH, MM, SS. */
static bool read_picture(struct bytes text, struct bytes picture, struct parts *parts)
{
    bool is_good = text.size == picture.size;
    for (size_t i = 0; is_good && i < picture.size;) {
        char what = picture.data[i];
        size_t size = 1;
        while (i + size < picture.size && picture.data[i + size] == what) {
            size++;
        }
        const char *at = text.data + i;
        switch (what) {
        case 'N':
            is_good = read_month(at, &parts->month);
            break;
        case 'Y':
            is_good = read_digits(at, size, false, &parts->year);
            break;
        case 'D':
        case 'd':
            is_good = read_digits(at, size, what == 'd', &parts->day);
            break;
        case 'h':
            is_good = read_digits(at, size, false, &parts->hour);
            break;
        case 'm':
            is_good = read_digits(at, size, false, &parts->minute);
            break;
        case 's':
            is_good = read_digits(at, size, false, &parts->second);
            break;
        default:
            is_good = memcmp(at, picture.data + i, size) == 0;
        }
        i += size;
    }
    return is_good;
}

/* Takes the day's name off; true when it is one, in full or by three letters. */
static bool take_day_name(struct bytes *text, bool is_full)
{
    static const char *const names[] = {"Sunday",   "Monday", "Tuesday", "Wednesday",
                                        "Thursday", "Friday", "Saturday"};
    for (size_t i = 0; i < COUNT_OF(names); i++) {
        struct bytes name = bytes_make(names[i], is_full ? strlen(names[i]) : 3);
        if (bytes_starts_with(*text, name)) {
            *text = bytes_slice(*text, name.size, text->size - name.size);
            return true;
        }
    }
    return false;
}

static bool is_leap(int64_t year)
{
    return (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
}

static bool is_real(const struct parts *parts)
{
    static const int8_t days[MONTHS] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    if (parts->year <= YEAR_MIN) {
        return false;
    }
    int64_t last = days[parts->month - 1] + (parts->month == 2 && is_leap(parts->year) ? 1 : 0);
    if (parts->day < 1 || parts->day > last) {
        return false;
    }
    /* 60 is a leap second. */
    return parts->hour < 24 && parts->minute < 60 && parts->second <= 60;
}

static int64_t seconds_of(const struct parts *parts)
{
    int64_t years = parts->year - YEAR_MIN - (parts->month < 3 ? 1 : 0);
    int64_t month = (parts->month + 9) % MONTHS; /* March is 0 */
    int64_t day = years * 365 + years / 4 - years / 100 + years / 400 + (153 * month + 2) / 5 +
                  parts->day - 1 - EPOCH_DAY;
    return day * SECONDS_PER_DAY + parts->hour * 3600 + parts->minute * 60 + parts->second;
}

/* The last year with these two digits that is not too far ahead. */
static int64_t century_of(int64_t two_digits, int64_t now_s)
{
    int64_t year_s = (int64_t)DAYS_PER_400_YEARS * SECONDS_PER_DAY / 400;
    int64_t latest = 1970 + now_s / year_s + YEARS_AHEAD_MAX;
    return latest - (latest - two_digits) % CENTURY;
}

bool http_date_parse(struct bytes text, int64_t now_s, int64_t *ret_seconds)
{
    struct parts parts = {0};
    struct bytes rest = text;
    bool is_good;
    if (take_day_name(&rest, true) && bytes_starts_with(rest, BYTES(","))) {
        is_good = read_picture(rest, BYTES(", DD-NNN-YY hh:mm:ss GMT"), &parts);
        parts.year = century_of(parts.year, now_s);
    } else {
        rest = text;
        is_good = take_day_name(&rest, false) &&
                  (read_picture(rest, BYTES(", DD NNN YYYY hh:mm:ss GMT"), &parts) ||
                   read_picture(rest, BYTES(" NNN dd hh:mm:ss YYYY"), &parts));
    }
    if (!is_good || !is_real(&parts)) {
        return false;
    }
    *ret_seconds = seconds_of(&parts);
    return true;
}
