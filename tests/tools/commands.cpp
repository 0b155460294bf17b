// SPDX-License-Identifier: LGPL-2.1-or-later
// Copyright (C) 2026 the possum authors
//
// possum list, info and watch as scripts use them: output, exit status, JSON; of live
// channels, dead ones, other users' and such as lie. Each test that looks at all channels
// has a /dev/shm of its own.
#include "support/check.h"

#include <sys/stat.h>

#include "base/users.h"
#include "support/forged.h"
#include "support/tool.h"

using namespace support;

namespace {

constexpr char kPicture[] =
    "video/x-raw,format=(string)NV12,width=(int)641,height=(int)359,"
    "framerate=(fraction)30/1";

// A line of a table that begins with that, without repeated blanks.
std::string row(const std::string& text, const std::string& start) {
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);) {
    std::istringstream words(line);
    std::string first;
    words >> first;
    if (first != start) continue;
    std::string result = first;
    for (std::string word; words >> word;) result += " " + word;
    return result;
  }
  std::fprintf(stderr, "no row %s in\n%s", start.c_str(), text.c_str());
  CHECK(false);
  return {};
}

void expect_printable(const std::string& text) {
  for (const char c : text) {
    CHECK(c == '\n' || (static_cast<unsigned char>(c) >= 0x20 && c != 0x7f));
  }
}

}  // namespace

TEST_F(OwnShm, no_channel_is_a_status_and_a_sentence) {
  const ToolResult none = expect_tool(1, "list");
  CHECK(none.out.empty() && contains(none.err, "no channels"));
  CHECK(expect_tool(1, "list --json").json() == Json::array());
  CHECK(expect_tool(1, "list -q").out.empty());
  CHECK(contains(expect_tool(1, "info cam").err, "no such channel"));
  CHECK(expect_tool(1, "info cam --json").json().at("state") == "absent");
  CHECK(expect_tool(0, "clean").out.empty());
  CHECK(expect_tool(0, "clean --json").json() == Json::array());
}

TEST(wrong_usage_is_told_apart) {
  for (const char* line :
       {"", "frobnicate", "\x1b[2J", "list cam", "info", "info a b", "info ../x",
        "watch a b", "watch -i 0", "watch -i nan", "watch -i 1s", "watch -n 0",
        "watch -n -1", "list --dry-run", "clean -q", "info -n 1 x", "--nonsense"}) {
    const ToolResult result = expect_tool(2, line);
    CHECK(result.out.empty() && !result.err.empty());
    expect_printable(result.err);
  }
  CHECK(contains(expect_tool(0, "--help").out, "usage: possum"));
  CHECK(expect_tool(0, "--version").out.starts_with("possum "));
  CHECK(expect_tool(0, "list -h").err.empty());
}

TEST_F(OwnShm, list_has_a_line_for_each_channel) {
  FarWriter live("cam.front");
  live.publish(1, 3, kSmall, kPicture);
  FarReader reader = attached("cam.front");
  FarWriter dead("zombie");
  dead.kill();
  const ToolResult list = expect_tool(0, "list");
  const std::string line = row(list.out, "cam.front");
  CHECK(line.starts_with("cam.front ready 641x359 NV12 30/1 1 "));
  CHECK(contains(line, " " + std::to_string(live.pid()) + " tools-commands"));
  CHECK(row(list.out, "zombie").starts_with("zombie dead - - - - - "));
  CHECK(list.err.empty());
  CHECK(expect_tool(0, "list -q").out == "cam.front\nzombie\n");
  const Json json = expect_tool(0, "list --json").json();
  CHECK(json.size() == 2 && json[0]["channel"] == "cam.front");
  CHECK(json[1]["state"] == "dead" && !json[1]["left"].empty());
}

// A value may hold what looks like fields, and a field need not be one value.
TEST_F(OwnShm, list_shows_fields_of_caps_and_nothing_that_looks_like_them) {
  const ForgedChannel quoted("quoted",
                             "video/x-raw, note=(string)\"a, format=FAKE, width=9\", "
                             "format=(string)NV12, width=(int)641, height=(int)359");
  const ForgedChannel open(
      "open", "video/x-raw, format={ I420, NV12 }, width=[ 1, 9 ], height=2");
  const ForgedChannel spoiled("spoiled", "video/x-raw, format=\"I420, width=3, height=4");
  const std::string list = expect_tool(0, "list").out;
  CHECK(row(list, "quoted").starts_with("quoted ready 641x359 NV12 - "));
  CHECK(row(list, "open").starts_with("open ready - video/x-raw - "));
  CHECK(row(list, "spoiled").starts_with("spoiled ready - - - "));
}

TEST_F(OnChannel, info_says_everything_about_one) {
  FarWriter writer(channel, "blocking");
  writer.publish(1, 1, kSmall, kPicture);
  FarReader reader = attached(channel, Policy::blocking, 4);
  reader.frame();
  writer.publish(2, 3, 5000, kPicture);
  const ToolResult text = expect_tool(0, "info " + channel);
  for (const std::string& part : std::vector<std::string>{
           "ready", "group " + group_text(getegid()), "mode 0600",
           "pid " + std::to_string(writer.pid()), "3 published", kPicture, "blocking"}) {
    CHECK(contains(text.out, part));
  }
  const Json info = expect_tool(0, "info --json " + channel).json();
  CHECK(info["channel"] == channel && info["state"] == "ready");
  CHECK(info["pid"] == writer.pid() && info["command"] == process_name());
  CHECK(info["uid"] == geteuid() && info["mode"] == "0600" && info["layout"] == 3);
  CHECK(info["frames"] == 3 && info["bytes"] == kSmall + 10'000 && info["no-slot"] == 0);
  CHECK(info["allow-blocking"] == true && info["attachable"] == true);
  CHECK(info["age-ns"].get<std::int64_t>() >= 0);
  CHECK(info["frame"]["caps"] == kPicture && info["frame"]["seq"] == 3);
  CHECK(info["slots"].size() >= 8);
  const Json& page = info["readers"].at(0);
  CHECK(page["pid"] == reader.pid() && page["state"] == "active");
  CHECK(page["policy"] == "blocking" && page["depth"] == 4 && page["frames"] == 1);
  CHECK(page["held"].size() == 1 && page["offered"].size() == 2 && page["missed"] == 0);
  // Each slot says who holds it, in the text too.
  CHECK(contains(text.out, "0 (pid " + std::to_string(reader.pid()) + ")"));
}

TEST_F(OnChannel, info_of_a_dead_writer_names_what_it_left) {
  FarWriter writer(channel);
  writer.kill();
  const ToolResult text = expect_tool(1, "info " + channel);
  for (const std::string& name : names_of(channel)) CHECK(contains(text.out, name));
  CHECK(contains(text.err, "possum clean"));
  CHECK(expect_tool(1, "info --json " + channel).json()["left"].size() ==
        names_of(channel).size());
  expect_tool(0, "clean " + channel);
}

TEST_F(OwnShm, what_peers_wrote_reaches_no_terminal) {
  const ForgedChannel forged("forged", "video/x-raw,format=\x1b[31mevil\n\x80");
  std::strcpy(forged.header().writer_name, "\x1b[2J\"\\\xff\xe2\x80\xae");
  for (const char* line : {"list", "info forged", "watch -n 1 -i 0.1", "list --json",
                           "info forged --json", "watch -n1 -i.1 -j forged"}) {
    const ToolResult result = expect_tool(0, line);
    expect_printable(result.out + result.err);
    CHECK(!contains(result.out + result.err, "\xe2\x80\xae"));
    CHECK(contains(result.out, "forged"));
  }
  // A parser that has nothing in common with the one that wrote it.
  const std::string file = "/dev/shm/forged.json";
  std::ofstream(file) << expect_tool(0, "info forged --json").out;
  CHECK(std::system(("python3 -m json.tool " + file + " >/dev/null").c_str()) == 0);
  const Json json = expect_tool(0, "info forged --json").json();
  CHECK(contains(json["command"], "\"\\") && json["frame"]["caps"] == "");
  CHECK(!json["frame-problem"].get<std::string>().empty());
}

TEST_F(OwnShm, no_writer_pushes_the_columns_of_others_away) {
  const std::string field(1200, 'x');
  const ForgedChannel forged("forged", "video/x-raw,width=(int)" + field +
                                           ",height=1,format=" + field +
                                           ",framerate=" + field);
  const ForgedChannel media("media", field);
  for (const char* shown : {"list", "watch -n1 -i.1"}) {
    std::istringstream lines(expect_tool(0, shown).out);
    for (std::string line; std::getline(lines, line);) CHECK(line.size() < 250);
  }
  // Whole where there is room for it.
  CHECK(contains(expect_tool(0, "info forged").out, ",format=" + field));
}

TEST_F(OwnShm, what_cannot_be_looked_at_has_a_status_of_its_own) {
  const ForgedChannel forged("newer");
  forged.header().version = 77;
  CHECK(mkfifo("/dev/shm/possum-c.pipe", 0600) == 0);
  for (const std::string channel : {"newer", "pipe"}) {
    const ToolResult text = expect_tool(3, "info " + channel);
    CHECK(contains(text.err, channel + ": ") && contains(text.out, channel));
    CHECK(expect_tool(3, "info -j " + channel).json().contains("problem"));
    expect_tool(3, "watch -n 1 -i 0.1 " + channel);
  }
  const ToolResult list = expect_tool(0, "list");
  CHECK(row(list.out, "newer").starts_with("newer incompatible"));
  CHECK(row(list.out, "pipe").starts_with("pipe damaged"));
  CHECK(contains(list.err, "layout 77"));
}

TEST_F(ManyUsers, other_users_channels_are_seen_as_far_as_they_allow) {
  FarWriter closed(kAlice, "closed", "600");
  FarWriter open(kAlice, "open", "660");
  closed.expect("ok 0");
  open.expect("ok 0");
  open.publish(1, 1, kSmall, kPicture);
  const ToolResult list = expect_tool(0, "list", kBob);
  CHECK(row(list.out, "closed").starts_with("closed unreadable"));
  CHECK(contains(row(list.out, "closed"), "54301"));
  CHECK(row(list.out, "open").starts_with("open ready 641x359 NV12"));
  CHECK(contains(list.err, "closed: this user may not look at it"));
  CHECK(contains(expect_tool(3, "info closed", kBob).err, "54301"));
  CHECK(contains(expect_tool(0, "info open", kBob).out, kPicture));
  expect_tool(3, "info open", kMallory);
  // The only command that could touch anything leaves them alone, and says so if asked.
  const auto names = names_of("closed");
  CHECK(contains(expect_tool(0, "clean", kBob).err, "closed"));
  expect_tool(1, "clean closed", kBob);
  CHECK(names_of("closed") == names);
}

TEST_F(OnChannel, watch_reports_rates_and_holders) {
  const auto writer = open_prepared(plain_writer(channel));
  publish(*writer, 1, kSmall, kPicture);
  FarReader reader = attached(channel);
  reader.frame();
  Tool tool("watch " + channel + " -n 2 -i 0.3 --json");
  std::atomic<bool> stop{false};
  std::thread publisher([&] {
    for (std::uint64_t key = 2; !stop; ++key) {
      publish(*writer, key, kSmall, kPicture);
      std::this_thread::sleep_for(std::chrono::milliseconds(10));
    }
  });
  const ToolResult result = tool.result();
  stop = true;
  publisher.join();
  CHECK(result.status == 0);
  std::istringstream lines(result.out);
  int reports = 0;
  for (std::string line; std::getline(lines, line); ++reports) {
    const Json report = Json::parse(line);
    CHECK(report.size() == 1 && report[0]["channel"] == channel);
    // 100 a second at the most, however slow the machine.
    const double fps = report[0]["fps"];
    CHECK(fps > 1 && fps < 102);
    CHECK(report[0]["readers"][0]["held"].size() == 1);
    CHECK(report[0]["readers"][0]["fps"] == 0.0);
  }
  CHECK(reports == 2);
  const ToolResult text = expect_tool(0, "watch " + channel + " -n 1 -i 0.1");
  CHECK(row(text.out, channel)
            .starts_with(channel + " ready " + std::to_string(getpid()) + " 0.0 "));
  CHECK(contains(row(text.out, channel), " 641x359 NV12 1 "));
  CHECK(contains(row(text.out, "reader"), "slot "));
  CHECK(contains(row(text.out, "reader"), std::to_string(reader.pid())));
}

TEST_F(OnChannel, watch_waits_for_a_channel_that_is_not_there_yet) {
  Tool tool("watch " + channel + " -i 0.1 --json");
  tool.wait_line("\"absent\"");
  const auto writer = open_writer(plain_writer(channel));
  tool.wait_line("\"ready\"");
  tool.signal(SIGINT);
  CHECK(tool.result().status == 0);
  CHECK(expect_tool(1, "watch " + unique_channel() + " -n 1 -i 0.1").status == 1);
}

TEST_F(OnChannel, watching_disturbs_nobody) {
  FarWriter writer(channel, "blocking");
  FarReader reader(channel, Policy::blocking, 2);
  writer.publish(1, 1);
  reader.attach();
  std::vector<std::unique_ptr<Tool>> tools;
  for (int i = 0; i < 3; ++i) {
    tools.push_back(std::make_unique<Tool>("watch " + channel + " -i 0.1 -n 4"));
  }
  reader.tell("drain");
  std::uint64_t key = 2;
  const std::int64_t end = in_ms(400);
  for (; monotonic_ns() < end; key += 100) writer.publish(key, key + 99);
  for (auto& tool : tools) CHECK(tool->result().status == 0);
  // At rest, the statistics count the frames and nothing else.
  const Json info = expect_tool(0, "info " + channel + " -j").json();
  CHECK(info["frames"] == key - 1 && info["no-slot"] == 0);
  CHECK(info["readers"].size() == 1);
  writer.order("eos", "eos");
  reader.expect("eos " + std::to_string(key - 1) + " 1");
}

TEST_F(OnChannel, output_that_cannot_be_written_is_a_failure) {
  FarWriter writer(channel);
  const std::string command = std::string(std::getenv("POSSUM_TOOL")) + " info " +
                              channel + " >/dev/full 2>/dev/null";
  const int status = std::system(command.c_str());
  CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 1);
}

TEST(manual_and_help_agree) {
  const std::string help = expect_tool(0, "--help").out;
  std::ifstream file(std::string(std::getenv("POSSUM_SOURCE_ROOT")) +
                     "/gst/tools/possum.1");
  const std::string manual((std::istreambuf_iterator<char>(file)), {});
  for (const char* option :
       {"json", "quiet", "interval", "count", "dry-run", "help", "version"}) {
    CHECK(contains(help, std::string("--") + option));
    std::string name = std::string("\\-\\-") + option;
    if (const auto at = name.find("y-r"); at != std::string::npos)
      name.insert(at + 1, "\\");
    CHECK(contains(manual, name));
  }
}
