/** Words of what is around every page: who one is, preferences, and what cannot be shown. */

export const en = {
  home: 'draftsync, all sessions',
  skip: 'Skip to content',
  preferences: 'Preferences',
  language: 'Language',
  theme: 'Theme',
  themes: { system: 'Like the device', light: 'Light', dark: 'Dark' },
  signedIn: (name: string) => `You are ${name}`,
  another: 'Use another person',
  news: 'News',
  dismiss: 'Dismiss',
  newVersion: 'There is a new version.',
  reload: 'Reload',

  noLinkTitle: 'You need a link to come in',
  noLink:
    'Whoever leads the evaluation sends it to you. It looks like an address of this page with a long #token=… at its end, and is for you alone.',
  noLinkDemo: 'In the demo, the terminal that runs it shows a link for each person.',
  whoTitle: 'Who are you?',
  who: 'These people have worked in this browser. What each of them wrote is kept apart.',
  continueAs: (name: string) => `Continue as ${name}`,
  badLinkTitle: 'This link cannot be used',
  badLink: 'Its token was cut short or is not one. Copy the whole link, or ask for a new one.',

  brokenTitle: 'Something went wrong on this page',
  broken:
    'That is our mistake. What you wrote is kept on this device and is sent when the page is open again.',
  brokenDetail: 'Details',
}

export const zh: typeof en = {
  home: 'draftsync，全部会话',
  skip: '跳到内容',
  preferences: '偏好设置',
  language: '语言',
  theme: '主题',
  themes: { system: '跟随设备', light: '浅色', dark: '深色' },
  signedIn: (name) => `你是 ${name}`,
  another: '换一个人',
  news: '消息',
  dismiss: '关闭',
  newVersion: '有新版本。',
  reload: '重新加载',

  noLinkTitle: '你需要一个链接才能进入',
  noLink: '链接由评估负责人发给你：它是本页的地址，末尾带有很长的 #token=…，仅供你本人使用。',
  noLinkDemo: '在演示中，运行它的终端会为每个人显示一个链接。',
  whoTitle: '你是谁？',
  who: '以下的人曾在此浏览器中工作。每个人写的内容分开保存。',
  continueAs: (name) => `以 ${name} 的身份继续`,
  badLinkTitle: '无法使用此链接',
  badLink: '其中的令牌不完整或无效。请复制完整的链接，或索取新的链接。',

  brokenTitle: '此页面出错了',
  broken: '这是我们的错误。你写的内容保存在此设备上，重新打开页面后会发送。',
  brokenDetail: '详情',
}
