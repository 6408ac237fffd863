// SPDX-License-Identifier: GPL-2.0

//! The screen of `rfou top`.

use super::{cells, rates, sort, Rates, Sample, Source, HEADING};
use crate::{
    cli::{Sort, TopArgs},
    error::{Error, Result},
};
use ratatui::{
    crossterm::event::{self, Event, KeyCode, KeyEvent, KeyEventKind, KeyModifiers},
    layout::{Constraint, Layout},
    style::{Color, Modifier, Style},
    text::{Line, Text},
    widgets::{Block, Borders, Cell, Paragraph, Row, Table, TableState},
    DefaultTerminal, Frame,
};
use std::{
    io,
    time::{Duration, Instant},
};

const HELP: &str = "q quit  p/b received packets/bytes  t/y sent packets/bytes  d drops  n name  \
                    r reverse  space pause  up/down select";

/// The state of the screen.
struct Screen {
    rows: Vec<Rates>,
    sort: Sort,
    reverse: bool,
    paused: bool,
    warning: Option<&'static str>,
    color: bool,
    state: TableState,
}

/// The request that a key stands for.
#[derive(Debug, Eq, PartialEq)]
enum Action {
    Nothing,
    Redraw,
    Quit,
}

/// Shows rates until the user quits.
pub fn run(args: &TopArgs, source: &mut Source, color: bool) -> Result {
    let mut screen = Screen {
        rows: Vec::new(),
        sort: args.sort,
        reverse: false,
        paused: false,
        warning: source.warning(),
        color,
        state: TableState::default().with_selected(0),
    };
    let before = source.sample()?;
    let at_fault = |error: io::Error| Error::io("terminal", &error);
    let mut terminal = ratatui::try_init().map_err(at_fault)?;
    let done = watch(args, source, before, &mut screen, &mut terminal);
    ratatui::try_restore().map_err(at_fault)?;
    done
}

fn watch(
    args: &TopArgs,
    source: &mut Source,
    mut before: Sample,
    screen: &mut Screen,
    terminal: &mut DefaultTerminal,
) -> Result {
    let at_fault = |error: io::Error| Error::io("terminal", &error);
    let delay = Duration::from_secs_f64(args.delay);
    let mut left = args.count;
    // Show the names at once. Rates come after the first interval.
    screen.show(rates(&before, &before));
    let mut next = Instant::now() + delay;
    loop {
        terminal
            .draw(|frame| screen.draw(frame))
            .map_err(at_fault)?;
        // With a timeout of 0, crossterm does not look for keys, and on a slow machine the user could not quit.
        let wait = next
            .saturating_duration_since(Instant::now())
            .max(Duration::from_millis(1));
        if event::poll(wait).map_err(at_fault)? {
            if let Event::Key(key) = event::read().map_err(at_fault)? {
                if screen.key(key) == Action::Quit {
                    return Ok(());
                }
            }
            continue;
        }
        next = Instant::now() + delay;
        let now = source.sample()?;
        if !screen.paused {
            screen.show(rates(&before, &now));
        }
        before = now;
        left = left.map(|left| left - 1);
        if left == Some(0) {
            terminal
                .draw(|frame| screen.draw(frame))
                .map_err(at_fault)?;
            return Ok(());
        }
    }
}

impl Screen {
    fn show(&mut self, rows: Vec<Rates>) {
        self.rows = rows;
        sort(&mut self.rows, self.sort, self.reverse);
    }

    fn key(&mut self, key: KeyEvent) -> Action {
        if key.kind == KeyEventKind::Release {
            return Action::Nothing;
        }
        match key.code {
            KeyCode::Char('q') | KeyCode::Esc => return Action::Quit,
            KeyCode::Char('c') if key.modifiers.contains(KeyModifiers::CONTROL) => {
                return Action::Quit
            }
            KeyCode::Char('p') => self.sort = Sort::RxPackets,
            KeyCode::Char('b') => self.sort = Sort::RxBytes,
            KeyCode::Char('t') => self.sort = Sort::TxPackets,
            KeyCode::Char('y') => self.sort = Sort::TxBytes,
            KeyCode::Char('d') => self.sort = Sort::Drops,
            KeyCode::Char('n') => self.sort = Sort::Name,
            KeyCode::Char('r') => self.reverse = !self.reverse,
            KeyCode::Char(' ') => self.paused = !self.paused,
            KeyCode::Up | KeyCode::Char('k') => self.state.select_previous(),
            KeyCode::Down | KeyCode::Char('j') => self.state.select_next(),
            KeyCode::PageUp => self.state.scroll_up_by(10),
            KeyCode::PageDown => self.state.scroll_down_by(10),
            KeyCode::Home => self.state.select_first(),
            KeyCode::End => self.state.select_last(),
            _ => return Action::Nothing,
        }
        sort(&mut self.rows, self.sort, self.reverse);
        Action::Redraw
    }

    fn draw(&mut self, frame: &mut Frame<'_>) {
        // The selection cannot be past the end.
        let last = self.rows.len().saturating_sub(1);
        self.state
            .select(self.state.selected().map(|row| row.min(last)));
        let [title, table, reasons, help] = Layout::vertical([
            Constraint::Length(1),
            Constraint::Min(3),
            Constraint::Length(6),
            Constraint::Length(1),
        ])
        .areas(frame.area());
        frame.render_widget(Paragraph::new(self.title()), title);
        self.draw_table(frame, table);
        let block = Block::new().borders(Borders::TOP).title("drops per second");
        frame.render_widget(Paragraph::new(self.reasons()).block(block), reasons);
        frame.render_widget(
            Paragraph::new(HELP).style(self.style(Color::DarkGray)),
            help,
        );
    }

    fn style(&self, color: Color) -> Style {
        match self.color {
            true => Style::new().fg(color),
            false => Style::new(),
        }
    }

    fn title(&self) -> Line<'static> {
        let order = match self.sort {
            Sort::Name => "name",
            Sort::RxPackets => "received packets",
            Sort::RxBytes => "received bytes",
            Sort::TxPackets => "sent packets",
            Sort::TxBytes => "sent bytes",
            Sort::Drops => "drops",
        };
        let mut text = format!("rfou top: {} rows by {order}", self.rows.len());
        if self.reverse {
            text += ", reversed";
        }
        if self.paused {
            text += ", paused";
        }
        if let Some(warning) = self.warning {
            text += &format!("; {warning}");
        }
        Line::from(text).style(Style::new().add_modifier(Modifier::BOLD))
    }

    fn draw_table(&mut self, frame: &mut Frame<'_>, area: ratatui::layout::Rect) {
        // After a small terminal grew, no row is hidden above an empty line.
        let visible = usize::from(area.height.saturating_sub(1));
        let offset = self
            .state
            .offset()
            .min(self.rows.len().saturating_sub(visible));
        *self.state.offset_mut() = offset;
        let style = self.style(Color::Red);
        let rows: Vec<_> = self
            .rows
            .iter()
            .map(|row| {
                let cells = cells(row).into_iter().enumerate().map(|(column, text)| {
                    let cell = match column {
                        0 => Text::from(text),
                        _ => Text::from(text).right_aligned(),
                    };
                    Cell::from(cell)
                });
                match row.drops > 0.0 {
                    true => Row::new(cells).style(style),
                    false => Row::new(cells),
                }
            })
            .collect();
        let heading = HEADING
            .iter()
            .enumerate()
            .map(|(column, text)| match column {
                0 => Text::from(*text),
                _ => Text::from(*text).right_aligned(),
            });
        let heading = Row::new(heading).style(Style::new().add_modifier(Modifier::BOLD));
        let widths = [
            Constraint::Min(20),
            Constraint::Length(9),
            Constraint::Length(11),
            Constraint::Length(9),
            Constraint::Length(11),
            Constraint::Length(8),
        ];
        let table = Table::new(rows, widths)
            .header(heading)
            .row_highlight_style(Style::new().add_modifier(Modifier::REVERSED));
        frame.render_stateful_widget(table, area, &mut self.state);
    }

    /// Returns the reasons of the selected row's drops.
    fn reasons(&self) -> Vec<Line<'static>> {
        let Some(row) = self.state.selected().and_then(|index| self.rows.get(index)) else {
            return vec![Line::from("no port and no gue device")];
        };
        let mut lines = vec![Line::from(row.name.clone())];
        for reason in &row.drops_by_reason {
            lines.push(Line::from(format!(
                "{:>9.0}  {}",
                reason.packets, reason.reason
            )));
        }
        if row.drops_by_reason.is_empty() {
            lines.push(Line::from("          none"));
        }
        lines
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ratatui::{backend::TestBackend, Terminal};

    fn screen() -> Screen {
        let row = |number: u16, packets: f64, drops: f64| Rates {
            name: format!("port {number} ipv4 gue"),
            order: super::super::rates::Order::Link(number.to_string()),
            rx_packets: packets,
            rx_bytes: packets * 100.0,
            tx_packets: 0.0,
            tx_bytes: 0.0,
            drops,
            drops_by_reason: vec![super::super::rates::Reason {
                reason: "GUE_BAD_HLEN".into(),
                packets: drops,
            }],
        };
        let mut screen = Screen {
            rows: Vec::new(),
            sort: Sort::Name,
            reverse: false,
            paused: false,
            warning: None,
            color: false,
            state: TableState::default().with_selected(0),
        };
        screen.show(vec![
            row(1, 10.0, 7.0),
            row(2, 2000.0, 0.0),
            row(3, 30.0, 9.0),
        ]);
        screen
    }

    fn press(screen: &mut Screen, code: KeyCode) -> Action {
        screen.key(KeyEvent::new(code, KeyModifiers::NONE))
    }

    fn first_rows(screen: &Screen) -> Vec<u16> {
        let number = |row: &Rates| row.name.split(' ').nth(1).unwrap().parse().unwrap();
        screen.rows.iter().map(number).collect()
    }

    #[test]
    fn keys_sort() {
        let mut screen = screen();
        assert_eq!(first_rows(&screen), [1, 2, 3]);
        press(&mut screen, KeyCode::Char('p'));
        assert_eq!(first_rows(&screen), [2, 3, 1]);
        press(&mut screen, KeyCode::Char('d'));
        assert_eq!(first_rows(&screen), [3, 1, 2]);
        press(&mut screen, KeyCode::Char('r'));
        assert_eq!(first_rows(&screen), [2, 1, 3]);
        assert_eq!(press(&mut screen, KeyCode::Char('x')), Action::Nothing);
        assert_eq!(press(&mut screen, KeyCode::Char('q')), Action::Quit);
    }

    #[test]
    fn the_screen_shows_rates_and_reasons() {
        let mut screen = screen();
        for (width, height) in [(100, 20), (40, 12), (10, 3), (1, 1)] {
            let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
            press(&mut screen, KeyCode::Down);
            terminal.draw(|frame| screen.draw(frame)).unwrap();
            let text: String = terminal
                .backend()
                .buffer()
                .content()
                .iter()
                .map(|cell| cell.symbol())
                .collect();
            if width == 100 {
                assert!(text.contains("port 2 ipv4 gue"), "{text}");
                assert!(text.contains("195.3 KiB"), "{text}");
                assert!(text.contains("GUE_BAD_HLEN"), "{text}");
            }
        }
    }
}
